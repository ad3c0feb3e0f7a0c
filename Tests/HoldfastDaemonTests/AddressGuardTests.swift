import Glibc
@testable import HostConfiguration
import Lab
import LinuxNetwork
import SystemCalls
import Testing

@testable import HoldfastDaemon

/// What a host does that changes around its service addresses.
@Suite struct AddressGuardTests {
  private typealias Step = HolderRig.Step

  @Test(arguments: HolderRig.texts)
  func anAddressThatIsTakenAwayComesBack(_ text: String) throws {
    let rig = try HolderRig()
    let address = String(text.prefix { $0 != " " })
    try rig.play([
      rig.quiet(),
      Step("the address to be back and announced", within: 1) { _ in
        try rig.mislead()
        try rig.host.ip("addr", "del", address, "dev", "eth0")
      } until: {
        try rig.isHere(text) && rig.neighbourKnows()
      },
    ])
    let entries = rig.entries(.addressLost)
    #expect(entries.map { $0.metadata["address"] } == [text])
    #expect(entries.first?.metadata["interface"] == "eth0")
    #expect(entries.first?.metadata["reason"] == "somebody removed it from eth0")
  }

  /// The kernel takes the IPv6 addresses off an interface that goes down.
  @Test func addressesThatALinkHasLostComeBack() throws {
    let rig = try HolderRig()
    try rig.play([
      Step("the addresses") { try rig.allHere() },
      Step("them to be gone") { _ in
        try rig.host.ip("link", "set", "eth0", "down")
      } until: {
        try !Tool.run("ip", "-n", rig.host.name, "link", "show", "eth0").contains("LOWER_UP")
      },
      Step("them to be back and announced", within: 1) { _ in
        try rig.mislead()
        try rig.host.ip("link", "set", "eth0", "up")
      } until: {
        try rig.allHere() && rig.neighbourKnows()
      },
      // At once is too quick for a look in between.
      Step("them to be back and announced once more", within: 1) { _ in
        try rig.mislead()
        try rig.host.ip(batch: "link set eth0 down\nlink set eth0 up\n")
      } until: {
        try rig.allHere() && rig.neighbourKnows()
      },
    ])
    #expect(rig.entries(.addressLost).contains { $0.metadata["address"] == HolderRig.texts[1] })
  }

  /// Only the carrier was gone: the addresses stayed, but a switch may have forgotten, or somebody else have answered.
  @Test func aCarrierThatComesBackIsAnnounced() throws {
    let rig = try HolderRig()
    try rig.play([
      rig.quiet(),
      Step("the announcement", within: 1) { _ in
        try rig.neighbour.ip("link", "set", "eth0", "down")
        try rig.neighbour.ip(batch: "link set eth0 up\naddr replace fd77::9/64 dev eth0 nodad\n")
        try rig.mislead()
      } until: {
        try rig.neighbourKnows()
      },
    ])
  }

  /// promote_secondaries=0: the host's own address has taken the service address along. What is put back comes before it then.
  @Test func theHostsOwnAddressComesFirst() throws {
    let rig = try HolderRig()
    for name in ["all", "eth0"] { try rig.host.setSysctl("net.ipv4.conf.\(name).promote_secondaries", "0") }
    func source() throws -> Bool {
      try Tool.run("ip", "-n", rig.host.name, "route", "get", "10.77.0.9").contains("src 10.77.0.1 ")
    }
    try rig.play([
      Step("the addresses") { try rig.allHere() },
      Step("the address to be back", within: 1) { _ in
        try rig.host.ip("addr", "del", "10.77.0.1/24", "dev", "eth0")
      } until: {
        try rig.allHere()
      },
      Step("the host's own address to come first") { _ in
        try rig.host.ip("addr", "add", "10.77.0.1/24", "dev", "eth0")
      } until: {
        try rig.allHere() && source()
      },
      Step("the service's to be gone") {
        $0.drop()
      } until: {
        try !rig.isHere(HolderRig.texts[0])
      },
    ])
    #expect(try rig.isHere("10.77.0.1/24") && source())
  }

  @Test func whatIsRemovedAgainAndAgainCostsLittle() throws {
    let rig = try HolderRig()
    // Whoever fights over it as fast as it can is not answered as fast as it asks.
    let monitor = try LabProcess.start("ip", ["monitor", "address"], in: rig.host)
    var begun: UInt64 = 0
    var storm: LabProcess?
    var looks = 0
    func comings() -> Int {
      monitor.standardOutput.split(separator: "\n").count { $0.contains(" 10.77.0.100/") && !$0.contains("Deleted") }
    }
    try rig.play([
      Step("the addresses") { try rig.allHere() },
      Step("the monitor to hear of what comes") { _ in
        try rig.host.ip("addr", "del", "10.77.0.100/24", "dev", "eth0")
      } until: {
        comings() > 0
      },
      Step("the storm to be over") { _ in
        begun = MonotonicClock.now
        let removals = "for i in $(seq 300); do ip addr del 10.77.0.100/24 dev eth0 2>/dev/null; sleep 0.01; done"
        storm = try LabProcess.start("sh", ["-c", removals], in: rig.host)
      } until: {
        storm?.isRunning == false
      },
      Step("the address to be back") { _ in
        looks = 2 + Int((MonotonicClock.now - begun) / 100_000_000)
      } until: {
        try rig.allHere()
      },
    ])
    let times = comings()
    #expect(times > 3 && times <= looks + 1, "it was put back \(times) times")
    #expect(rig.entries(.addressLost).count == 1)
  }

  @Test func whatCannotBePutBackIsSaidAndComesBackLater() throws {
    let rig = try HolderRig()
    var said: [(reason: String, after: UInt64)] = []
    var gone: UInt64 = 0
    try rig.play(
      [
        Step("the addresses") { try rig.allHere() },
        Step("the complaint", within: 3) { _ in
          gone = MonotonicClock.now
          try rig.host.ip("link", "del", "eth0")
        } until: {
          said.count == 2
        },
        Step("the addresses to be back", within: 2) { _ in
          try rig.connect()
        } until: {
          try rig.allHere()
        },
      ],
      prepare: { holder in holder.onCannotHold = { said.append(($0, MonotonicClock.now - gone)) } })
    #expect(said.first?.reason == "10.77.0.100/24 dev eth0: there is no interface \"eth0\"")
    #expect(said.allSatisfy { $0.after >= 1_000_000_000 })
    #expect(rig.entries(.addressUnavailable).count == 2, "one for each address, and not one for each try")
    #expect(rig.entries(.addressLost).count == 2)
  }

  @Test func anAddressOnAHostThatDoesNotHoldItIsSaidAndStays() throws {
    let rig = try HolderRig()
    try rig.play([
      Step("the addresses") { try rig.allHere() },
      Step("them to be gone") {
        $0.drop()
      } until: {
        try !rig.isHere(HolderRig.texts[0])
      },
      Step("the entry") { _ in
        #expect(rig.entries(.addressUnexpected).isEmpty)
        try rig.host.ip("addr", "add", "10.77.0.100/32", "dev", "eth0")
      } until: {
        rig.entries(.addressUnexpected).count == 1
      },
    ])
    #expect(try rig.isHere("10.77.0.100/32"))
    #expect(rig.entries(.addressUnexpected).first?.metadata["address"] == "10.77.0.100/32 dev eth0")
  }

  /// A switch that has just seen a link come up lets nothing pass for 15 s. And what a neighbour is told by somebody else, it forgets
  /// when it is told anew.
  @Test func lateAndMisledNeighboursLearnInTheEnd() throws {
    let rig = try HolderRig()
    try rig.mislead()
    try rig.closePort()
    try rig.play(
      [
        Step("15 s to pass", within: 30) { rig.hasHeld(for: 15_000_000_000) },
        Step("the neighbour to learn", within: 5) { _ in
          try rig.openPort()
        } until: {
          try rig.neighbourKnows()
        },
        Step("the schedule to end", within: 30) { rig.hasHeld(for: 31_500_000_000) },
        Step("the neighbour to learn anew", within: 3) { _ in
          try rig.mislead()
        } until: {
          try rig.neighbourKnows()
        },
      ], refresh: 2_000_000_000)
  }

  /// The other host was active for a moment, too, and has told the neighbours.
  @Test func aPeerThatHasGivenWayIsFollowedByAnAnnouncement() throws {
    let rig = try HolderRig()
    try rig.play([
      rig.quiet(),
      Step("the announcement", within: 1) {
        try rig.mislead()
        $0.peerIsHeard(isActive: true)
        $0.peerIsHeard(isActive: false)
      } until: {
        try rig.neighbourKnows()
      },
    ])
  }
}
