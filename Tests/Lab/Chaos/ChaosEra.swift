internal import Glibc
internal import TCPModel

/// A pair in namespaces of its own with one configuration, under traffic, through a number of faults one after the other.
final class ChaosEra {
  /// What is different from era to era.
  struct Setting: CustomStringConvertible {
    var policy: String
    var isTLS: Bool
    /// A share of the clients' packets is lost, doubled and late.
    var hasBadNetwork: Bool
    /// Who acts alone asks an etcd first.
    var hasEtcd: Bool
    /// A service manager keeps the sockets of a daemon that crashes.
    var isManaged: Bool
    /// The kernel keeps the daemons' tables from everybody else.
    var ownsTable: Bool

    init(_ dice: inout Dice) {
      var other = Dice(seed: ~dice.seed)
      hasEtcd = other.falls(0.4)
      isManaged = other.falls(0.7)
      ownsTable = other.falls(0.4)
      policy = dice.falls(0.5) ? "hold" : "allow"
      isTLS = dice.falls(0.5)
      hasBadNetwork = dice.falls(0.3)
    }

    var description: String {
      "policy \(policy)\(hasEtcd ? " with etcd" : ""), \(isTLS ? "TLS" : "plaintext")\(isManaged ? ", managed" : "")\(ownsTable ? "" : ", tables without owners")\(hasBadNetwork ? ", a bad network before the clients" : "")"
    }
  }

  let pair: ProtectedPair
  let setting: Setting
  let traffic: ChaosTraffic
  var dice: Dice
  private(set) var active = HostName.alpha
  private(set) var takeovers = 0
  private(set) var fenced = 0
  private(set) var packets = 0
  private(set) var largestResidentSet = 0
  /// What was done, with the time of day as the logs have it.
  private(set) var journal: [String] = []
  private let disturbance: Disturbance?
  /// The hosts' arbiter, where they have one.
  let etcd: EtcdHost?
  var strikes = Strikes()
  private var capture: PacketCapture
  private var logs = 0
  /// Takeovers that the logs told of when the last capture was checked.
  private var takeoversBefore = 0

  /// After a fault that was mended: one host active and the other one its synced standby; every connection moves.
  private static let patience = 90.0

  /// - Parameters:
  ///   - policy: nil has the dice choose one.
  ///   - only: the one fault that comes, which decides some of the setting.
  init(_ dice: Dice, policy: String? = nil, only: Fault? = nil) throws {
    var dice = dice
    var setting = Setting(&dice)
    if let policy { setting.policy = policy }
    if only?.needsEtcd ?? false { setting.hasEtcd = true }
    if only?.needsTableWithoutOwner ?? false { setting.ownsTable = false }
    self.setting = setting
    self.dice = dice
    var options = DaemonHost.Options()
    options.soloPolicy = setting.policy
    // A machine that is busy must not look like a dead host: nothing is promised about two faults at once.
    options.heartbeatInterval = "100ms"
    options.deadAfter = "2s"
    options.exposeAfter = "4s"
    options.security = setting.isTLS ? .tls() : .plaintext
    options.keepsState = true
    options.isManaged = setting.isManaged
    if !setting.ownsTable { options.node = "owned_table = false" }
    var etcd: EtcdHost?
    pair = try ProtectedPair(topology: Topology(withServer: true)) { topology in
      try topology.limit("50mbit")
      // Where newcomers come from: without a limit they take the hosts' whole time, and everybody else's streams hardly move.
      try topology.limitServer("50mbit")
      // What lies in the hosts' buffers must all have left before a stream can end.
      for host in HostName.allCases { try topology[host].setSysctl("net.ipv4.tcp_wmem", "4096 16384 131072") }
      etcd = setting.hasEtcd ? try EtcdHost(in: topology) : nil
      if let etcd { options.arbiter = etcd.configuration }
      return options
    }
    self.etcd = etcd
    try pair.startServers()
    traffic = ChaosTraffic(pair)
    disturbance = setting.hasBadNetwork ? try Disturbance(pair.topology, dice: dice) : nil
    capture = try Self.capture(pair.topology)
  }

  /// Headers alone: the clients compare the bytes.
  private static func capture(_ topology: Topology) throws -> PacketCapture {
    try topology.capture(bytes: 114, filter: "tcp portrange 7000-7004 and (host \(Addresses.client) or host fd77::9)")
  }

  func note(_ what: String) { journal.append("\(TimeOfDay.now) \(what)") }

  /// One fault, from a pair that is synced to one that is synced again.
  func round(_ fault: Fault) throws {
    try settle()
    try traffic.replenish(active: active, &dice)
    try pass(dice.pick(0...1500))
    note("\(fault.rawValue) (\(active) is active)")
    let mend = try begin(fault)
    let duration = dice.pick(fault.duration)
    try pass(duration)
    note("mended after \(duration) ms")
    try mend()
    try settle()
    note("\(active) is active, \(active.other) its synced standby")
    try traffic.waitForProgress(seconds: Self.patience)
    let over = traffic.over
    try traffic.collect(seconds: Self.patience)
    try checkCapture(except: over)
    for host in HostName.allCases { largestResidentSet = max(largestResidentSet, residentSet(of: host)) }
  }

  /// Lets time pass, in which clients do what they do.
  func pass(_ milliseconds: UInt64) throws {
    let end = monotonicNow() + milliseconds * 1_000_000
    while monotonicNow() < end {
      try traffic.throwFailures()
      if dice.falls(0.08) { try traffic.doSomething(&dice) }
      usleep(UInt32(min(50_000, (end - min(end, monotonicNow())) / 1000 + 100)))
    }
  }

  /// Waits until the pair is whole.
  private func settle() throws {
    var last = ""
    try wait(for: "the pair to be whole again: \(last)", until: .seconds(Self.patience), every: 20) {
      try traffic.throwFailures()
      let states = HostName.allCases.map { host in
        (host, (try? pair[host].status())?.pairs.first)
      }
      last = states.map { "\($0) \($1?.role ?? "silent") \($1?.replication ?? "")" }.joined(separator: ", ")
      guard let active = states.first(where: { $0.1?.role == "active" && $0.1?.replication == "synced" })?.0,
        let standby = states.first(where: { $0.0 == active.other })?.1,
        standby.role == "standby", standby.replication == "synced"
      else { return false }
      self.active = active
      // After a crash of the daemon that takes a round trip longer.
      last = "a connection is not protected"
      return try pair[active].connections().allSatisfy(\.protected)
    }
  }

  /// The capture of this round: nothing that breaks the promise, and no more changes of the sender than takeovers.
  /// - Parameter over: connections that ended in an earlier round: what is left of one is not looked at.
  private func checkCapture(except over: Set<Endpoint>) throws {
    // The next one begins before this one ends: every packet has its neighbours.
    let next = try Self.capture(pair.topology)
    let done = capture
    capture = next
    let takeoversNow = count("takeover complete")
    let check = try CaptureCheck(
      done.stop(), isService: { (7000...7004).contains($0.port) }, comparesContent: false,
      mayReorder: strikes.contain)
    packets += check.packets
    var violations = check.violations.filter { text in
      !over.contains { text.hasPrefix("\($0): ") } && !Promise.isReset(text, of: traffic.excused)
    }
    for evidence in check.connections where evidence.senderChanges > takeoversNow - takeoversBefore {
      violations.append(
        "\(evidence.client): the sender changed \(evidence.senderChanges) times in \(takeoversNow - takeoversBefore) takeovers"
      )
    }
    takeoversBefore = takeoversNow
    takeovers = takeoversNow
    fenced = count("fenced: another host")
    for host in HostName.allCases {
      violations += pair.said(by: host).filter { $0.hasPrefix("mismatch") }.map { "the application on \(host): \($0)" }
    }
    guard violations.isEmpty else {
      throw LabError(violations.joined(separator: "\n") + "\ncapture: \(done.path)")
    }
    Files.remove(done.path)
  }

  /// How often both daemons' logs, over all their starts, have a phrase.
  private func count(_ phrase: String) -> Int {
    HostName.allCases.reduce(0) { sum, host in
      let past = (0..<logs).compactMap { try? Files.read("\(pair[host].folder)/past-\($0)-holdfastd") }
      return sum + (past + [pair[host].log]).reduce(0) { $0 + $1.split(separator: "\n").count { $0.contains(phrase) } }
    }
  }

  /// Starts a daemon whose predecessor's log is kept.
  func startDaemon(on host: HostName) throws {
    let folder = pair[host].folder
    try Files.write(pair[host].log, to: "\(folder)/past-\(logs)-holdfastd")
    logs += 1
    try pair[host].start()
  }

  func startServer(on host: HostName) throws {
    try Files.write(pair.said(by: host).joined(separator: "\n"), to: "\(pair[host].folder)/past-\(logs)-pattern-server")
    logs += 1
    try pair.startServer(on: host)
  }

  private func residentSet(of host: HostName) -> Int {
    guard let process = pair[host].process, let text = try? Files.read("/proc/\(process.pid)/status"),
      let line = text.split(separator: "\n").first(where: { $0.hasPrefix("VmRSS:") })
    else { return 0 }
    return Int(line.filter(\.isNumber)) ?? 0
  }

  /// Everything that was open is led to its end.
  func finish() throws {
    try settle()
    let over = traffic.over
    try traffic.finish(seconds: Self.patience)
    try checkCapture(except: over)
    _ = try disturbance?.stop()
  }

  /// Keeps what tells why: logs, capture, journal.
  func keepEvidence(in folder: String, reason: String) {
    traffic.abandon()
    do {
      Files.remove(folder)
      try Files.makeFolders(folder)
      try Files.write((journal + [reason]).joined(separator: "\n") + "\n", to: "\(folder)/journal")
      _ = try? capture.stop()
      for host in HostName.allCases { try Tool.run("cp", "-r", pair[host].folder, "\(folder)/\(host)") }
      try Tool.run("cp", capture.path, "\(folder)/last.pcap")
      for line in reason.split(separator: "\n") where line.hasPrefix("capture: ") {
        try Tool.run("cp", String(line.dropFirst(9)), "\(folder)/violation.pcap")
      }
    } catch { print("cannot keep all the evidence: \(error)") }
  }
}

/// The time of day in UTC, as the daemons' logs have it.
enum TimeOfDay {
  static var now: String {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    let seconds = time.tv_sec % 86400
    func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
    let thousandths = String(1000 + time.tv_nsec / 1_000_000).dropFirst()
    return "\(two(seconds / 3600)):\(two(seconds / 60 % 60)):\(two(seconds % 60)).\(thousandths)"
  }
}
