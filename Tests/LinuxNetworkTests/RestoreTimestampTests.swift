import CLinux
import Glibc
import Lab
@testable import LinuxNetwork
import TCPModel
import Testing

/// The peer must never see a timestamp go back, wherever the dead host's clock stood: by PAWS (RFC 7323 section 5) it drops what is
/// older than what it has seen.
@Suite struct RestoreTimestampTests {
  /// Where the dead host's clock stands, in ticks from what this host would count by itself.
  enum Origin: CaseIterable {
    case asItIs
    case farAhead
    case farBehind
  }

  @Test(arguments: Origin.allCases)
  func theClockGoesOnFromWhereItWas(_ origin: Origin) throws {
    let line = try Wire().connect()
    try line.exchange()
    switch origin {
    case .asItIs: break
    case .farAhead: try turn(line, by: 1_500_000_000)
    // Forward all the way round: only so can a living connection get behind.
    case .farBehind: for _ in 0..<3 { try turn(line, by: 1_000_000_000) }
    }
    try expectContinuity(line, microseconds: false) { try line.move() }
    try line.exchange()
    try line.finish()
    try line.wire.expectNoHarm()
  }

  @Test func theClockMayWrapWhileTheHostIsDead() throws {
    let line = try Wire().connect()
    try line.exchange()
    try turn(line, to: UInt32.max - 201)
    let (snapshot, begun) = (try line.dump(), monotonicNow())
    #expect(snapshot.state.timestamp.value > UInt32.max - 10_000)
    try line.wire.hostLock.close()
    try line.vanish()
    try wait(for: "the clock to pass 2^32", until: .seconds(10)) { monotonicNow() - begun > 300_000_000 }
    try line.restore(snapshot)
    try line.wire.hostLock.open()
    #expect(try line.host.timestamp() < 10_000)
    try line.exchange()
    try line.finish()
    try line.wire.expectNoHarm()
  }

  /// A route with this feature makes sockets count microseconds; the standby's own route does not say so.
  @Test func theUnitIsKept() throws {
    let wire = try Wire()
    try wire.host.run { try MicrosecondRoute.add(to: Wire.address(9, .v4), over: "eth0") }
    let line = try wire.connect()
    try line.exchange()
    #expect(try TCPInfo(line.host.number).hasMicroseconds)
    try wire.host.run { try MicrosecondRoute.remove(to: Wire.address(9, .v4), over: "eth0") }
    var snapshot: RepairSnapshot?
    try expectContinuity(line, microseconds: true) { snapshot = try line.move() }
    #expect(snapshot?.state.negotiated.timestampUnit == .microseconds)
    #expect(try TCPInfo(line.host.number).hasMicroseconds)
    try line.exchange()
    try line.finish()
    try wire.expectNoHarm()
  }

  @Test func millisecondsStayMilliseconds() throws {
    let wire = try Wire()
    let line = try wire.connect()
    try line.exchange()
    // The other way round: here it is the standby's route that has another unit.
    try wire.host.run { try MicrosecondRoute.add(to: Wire.address(9, .v4), over: "eth0") }
    try line.move()
    #expect(try !TCPInfo(line.host.number).hasMicroseconds)
    try line.exchange()
    try wire.expectNoHarm()
  }

  /// The control: with a clock that was not restored the peer does refuse everything.
  @Test func withoutTheOffsetThePeerStalls() throws {
    let line = try Wire().connect()
    try line.exchange()
    try line.move(edit: { $0.timestamp.value &-= 100_000 })
    try line.hostWrites(3000)
    try wait(for: "the peer to refuse it", until: .seconds(10)) {
      try line.wire.counter("TcpExt.PAWSEstab", of: line.wire.peer) > 1
    }
    #expect(throws: LabError.self) { try line.peerReadsAll(within: 0.5) }
    #expect(line.peerReceived == 3000)
    #expect(try line.wire.harm() != [])
  }

  /// Runs `body` and compares the clock before with the clock after: it has advanced by the time between. A margin would end up in
  /// the peer's echoes, and from 200 ms on in our own retransmission timeout.
  private func expectContinuity(
    _ line: Line, microseconds: Bool, _ location: SourceLocation = #_sourceLocation, _ body: () throws -> Void
  ) throws {
    let begun = monotonicNow()
    let before = try line.host.timestamp()
    try body()
    let after = try line.host.timestamp()
    let ticks = Int((monotonicNow() - begun) / (microseconds ? 1000 : 1_000_000))
    let advance = Int(Int32(bitPattern: after &- before))
    #expect(advance >= 0, sourceLocation: location)
    #expect(advance <= ticks + (microseconds ? 100_000 : 100), sourceLocation: location)
  }

  /// Turns the clock of the host's end forward, as far as PAWS can follow.
  private func turn(_ line: Line, by ticks: UInt32) throws { try turn(line, to: line.host.timestamp() &+ ticks) }

  private func turn(_ line: Line, to target: UInt32) throws {
    let step: UInt32 = 1_000_000_000
    while target &- (try line.host.timestamp()) > step { try set(line, try line.host.timestamp() &+ step) }
    try set(line, target)
  }

  private func set(_ line: Line, _ value: UInt32) throws {
    try line.host.setTimestamp(value & ~1)
    try line.exchange(100)
  }
}
