import Glibc
@testable import HostConfiguration
import Lab
import LinuxNetwork
import Logging
import SystemCalls
import TCPModel
import Testing

@testable import HoldfastDaemon

/// An address holder on a host of its own, with a neighbour that keeps what it has heard for an hour:
///
///     host  10.77.0.1, fd77::1  eth0 ──────── eth0  10.77.0.9, fd77::9  neighbour
final class HolderRig {
  static let texts = ["10.77.0.100/24 dev eth0", "fd77::100/64 dev eth0"]
  let host: Namespace
  let neighbour: Namespace
  private let journal = Journal()
  private var taken: UInt64 = 0

  /// One entry of the journal.
  struct Entry {
    let message: String
    let metadata: [String: String]
  }

  private final class Journal: LogHandler, @unchecked Sendable {
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace
    var entries: [Entry] = []
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }
    func log(event: LogEvent) {
      entries.append(
        Entry(message: "\(event.message)", metadata: (event.metadata ?? [:]).mapValues { "\($0)" }))
    }
  }

  init() throws {
    host = try Namespace("holder")
    neighbour = try Namespace("neighbour")
    for namespace in [host, neighbour] {
      try namespace.setSysctl("net.ipv6.conf.default.accept_dad", "0")
    }
    try connect()
    for family in ["ipv4", "ipv6"] {
      try neighbour.setSysctl("net.\(family).neigh.eth0.base_reachable_time_ms", "3600000")
      try neighbour.setSysctl("net.\(family).neigh.eth0.gc_stale_time", "3600")
    }
    try neighbour.ip(batch: "addr add 10.77.0.9/24 dev eth0\naddr add fd77::9/64 dev eth0 nodad\n")
  }

  /// Makes the link between the two, as a driver does that is loaded.
  func connect() throws {
    try host.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", neighbour.name)
    try host.ip(batch: "addr add 10.77.0.1/24 dev eth0\naddr add fd77::1/64 dev eth0 nodad\nlink set eth0 up\n")
    try neighbour.ip("link", "set", "eth0", "up")
  }

  // MARK: The play

  /// Something to do, and what is to come of it.
  struct Step {
    let what: String
    let seconds: Double
    let action: (AddressHolder) throws -> Void
    let condition: () throws -> Bool

    init(
      _ what: String, within seconds: Double = 10, _ action: @escaping (AddressHolder) throws -> Void = { _ in },
      until condition: @escaping () throws -> Bool
    ) {
      self.what = what
      self.seconds = seconds
      self.action = action
      self.condition = condition
    }
  }

  /// Runs the steps one after the other on an event loop.
  /// - Parameters:
  ///   - refresh: as in the configuration, ns.
  ///   - prepare: gets the holder before it takes the addresses.
  func play(_ steps: [Step], refresh: UInt64 = 0, prepare: @escaping (AddressHolder) -> Void = { _ in }) throws {
    try onOwnThread { [self] in
      try host.enter()
      let loop = try EventLoop()
      let addresses = try Self.texts.map { try ServiceAddress($0) }
      let feed = try AddressFeed(services: Set(addresses.map(\.address)), loop: loop)
      let journal = journal
      let holder = try AddressHolder(
        addresses, manager: try AddressManager(), announcer: try Announcer(), feed: feed, refresh: refresh, loop: loop,
        logger: Logger(label: "test") { _ in journal })
      prepare(holder)
      holder.take()
      taken = MonotonicClock.now
      var rest = steps[...]
      var deadline: Deadline?
      var failure: (any Error)?
      var ticker: HoldfastDaemon.Timer?
      ticker = try loop.addTimer(description: "test") {
        do {
          guard let step = rest.first else { return loop.exit(0) }
          if deadline == nil {
            try step.action(holder)
            deadline = .seconds(step.seconds)
          }
          if try step.condition() {
            rest.removeFirst()
            deadline = nil
          } else if deadline?.hasPassed ?? false {
            throw LabError("waited in vain for \(step.what); the journal: \(journal.entries)")
          }
        } catch {
          failure = error
          return loop.exit(1)
        }
        ticker?.set(at: MonotonicClock.now + 5_000_000)
      }
      ticker?.set(at: MonotonicClock.now)
      _ = try loop.run()
      ticker = nil
      if let failure { throw failure }
    }
  }

  // MARK: What there is to see

  func entries(_ event: EventID) -> [Entry] {
    journal.entries.filter { $0.metadata[EventID.metadataKey] == event.messageID }
  }

  private func plain(_ text: String) -> String { String(text.prefix { $0 != "/" }) }

  func isHere(_ text: String) throws -> Bool {
    try Tool.run("ip", "-n", host.name, "-o", "addr", "show").contains(" \(text.prefix { $0 != " " }) ")
  }

  /// The neighbour believes that the addresses are somewhere else.
  func mislead() throws {
    for text in Self.texts {
      try neighbour.ip(
        "neigh", "replace", plain(text), "lladdr", "02:00:00:00:00:99", "nud", "reachable", "dev", "eth0")
    }
  }

  func neighbourKnows() throws -> Bool {
    let words = try Tool.run("ip", "-n", host.name, "-o", "link", "show", "dev", "eth0").split(separator: " ")
    guard let index = words.firstIndex(of: "link/ether") else { return false }
    return try Self.texts.allSatisfy {
      try Tool.run("ip", "-n", neighbour.name, "neigh", "show", plain($0)).contains(words[index + 1])
    }
  }

  /// Lets nothing of the host pass, as a switch does whose port is not open yet; its interface has a carrier all the while.
  func closePort() throws {
    // Room for one byte: no frame ever fits.
    try Tool.run(
      "tc", "-n", host.name, "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", "8bit", "burst", "1", "limit",
      "1")
  }

  func openPort() throws { try Tool.run("tc", "-n", host.name, "qdisc", "del", "dev", "eth0", "root") }

  func hasHeld(for nanoseconds: UInt64) -> Bool { MonotonicClock.now >= taken + nanoseconds }

  /// Waits for a gap between announcements, of 1.7 s: what the neighbour learns in it has another cause than the passing of time.
  func quiet() -> Step {
    Step("a gap between announcements") { [self] in
      hasHeld(for: 3_300_000_000)
    }
  }

  func allHere() throws -> Bool { try Self.texts.allSatisfy(isHere) }

  deinit {
    neighbour.remove()
    host.remove()
  }
}
