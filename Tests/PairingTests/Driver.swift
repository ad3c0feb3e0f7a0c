import Pairing

/// Two pair machines in virtual time, two heartbeat paths, and a replication channel of which only that matters which the
/// machines are told. Carries a script out and writes down everything that it sees.
final class Driver {
  struct Host {
    var machine: PairMachine?
    /// What its disk has kept.
    var epoch: UInt64 = 0
    /// What its last daemon has left behind.
    var wasAlone = false
    var standbyWaits: UInt64 = 0

    func behind(now: UInt64) -> PairMachine.Behind {
      wasAlone ? .nobody : now < standbyWaits ? .patientStandby : .standby
    }
    /// How often its daemon has started: the instance, too.
    var starts: UInt64 = 0
    var sequence: UInt64 = 0
    var isPaused = false
    var isDead: Bool { machine == nil }
    /// What came while it was paused.
    var heartbeats: [(path: Int, heartbeat: Heartbeat)] = []
    var messages: [(Driver) -> Void] = []
    /// The session that its end of the channel is in.
    var session: Int?
    var follows = false
    /// The cluster manager lets it act alone.
    var isPromoted = false
    var wasActive = false
    /// Everything that it ever said, by instance and sequence number.
    var said: [UInt64: [Heartbeat]] = [:]
  }

  enum Path: Int, CaseIterable {
    case link = 0
    case lan = 1
  }

  /// ms that a datagram or a message takes.
  static let delay: UInt64 = 1
  static let names = ["alpha", "beta"]

  private(set) var now: UInt64 = 0
  var hosts: [String: Host] = ["alpha": Host(), "beta": Host()]
  /// Which way of which path is cut, by receiver.
  var cuts: Set<[String]> = []
  /// Messages of the channel that wait for the link.
  private var backlog: [(to: String, (Driver) -> Void)] = []
  private(set) var trace: [String] = []
  var lastSession = 0
  var arbiter = Arbiter()
  /// Why a look at the network says no: somebody answers for the address, or a witness does not answer.
  var objection: String?
  private let settings: [String: String]
  private var queue: [(time: UInt64, order: Int, run: (Driver) -> Void)] = []
  private var order = 0

  init(_ settings: [String: String]) { self.settings = settings }

  /// A script's last line is the end.
  func run(_ script: Script) throws {
    for line in script.lines {
      advance(to: line.time)
      try Verb.perform(line, on: self)
    }
  }

  private func advance(to time: UInt64) {
    while let index = queue.indices.min(by: { (queue[$0].time, queue[$0].order) < (queue[$1].time, queue[$1].order) }),
      queue[index].time <= time
    {
      let (due, _, run) = queue.remove(at: index)
      now = due
      run(self)
    }
    now = time
  }

  func after(_ delay: UInt64, _ run: @escaping (Driver) -> Void) {
    order += 1
    queue.append((now + delay, order, run))
  }

  func note(_ host: String, _ text: String) {
    let time = String(now)
    let pad = String(repeating: " ", count: max(0, 5 - time.count))
    trace.append(pad + time + " " + host + String(repeating: " ", count: max(1, 6 - host.count)) + text)
  }

  func other(than host: String) -> String { host == "alpha" ? "beta" : "alpha" }

  func number(_ key: String, _ standard: UInt64) -> UInt64 { settings[key].flatMap { UInt64($0) } ?? standard }

  func configuration(of host: String) -> PairMachine.Configuration {
    let millisecond: UInt64 = 1_000_000
    return PairMachine.Configuration(
      node: host, pair: "web",
      prefersActive: settings["prefer"].map { $0 == host || $0 == "both" } ?? (host == "alpha"),
      paths: Path.allCases.count, interval: number("interval", 50) * millisecond,
      deadAfter: number("dead_after", 200) * millisecond, exposeAfter: number("expose_after", 500) * millisecond,
      mayExpose: settings["policy"] != "hold", asks: asks, arbiterKnowsEpochs: !isExternal,
      tracksLinks: settings["track_links"] != "false", linkDownAfter: number("link_down_after", 500) * millisecond)
  }

  /// A cluster manager is asked.
  var isExternal: Bool { settings["asks"] == "external" }

  var asks: PairMachine.Asks {
    switch settings["asks"] {
    case "network": .network(lead: number("lead", 90) * 1_000_000)
    case "arbiter", "external": .arbiter
    default: .nobody
    }
  }

  // MARK: What reaches a machine

  func handle(_ event: PairMachine.Event, on host: String) {
    guard let actions = hosts[host]?.machine?.handle(event, now: now * 1_000_000) else { return }
    let epoch = hosts[host]?.machine?.epoch ?? 0
    hosts[host]?.epoch = epoch
    for action in actions {
      note(host, Self.describe(action))
      perform(action, on: host)
    }
    giveBack(host)
    followPromotion(host)
  }

  private func perform(_ action: PairMachine.Action, on host: String) {
    switch action {
    case .sendHeartbeat: sendHeartbeat(host)
    case .ask(let question): ask(question, for: host)
    case .becomeStandby:
      closeChannel(of: host)
      hosts[host]?.follows = true
      follow(host)
    case .becomeActive, .takeOver, .startOver:
      hosts[host]?.follows = false
      closeChannel(of: host)
    case .fence, .detachStandby, .leaveSource: closeChannel(of: host)
    case .prepareHandOver: finishHandOver(of: host)
    case .handOver:
      if let session = hosts[host]?.session {
        let peer = other(than: host)
        send(to: peer, in: session) { $0.handle(.handedOver, on: peer) }
      }
      closeChannel(of: host)
    default: break
    }
  }

  private static func describe(_ action: PairMachine.Action) -> String {
    switch action {
    case .becomeActive(let epoch, let reason): "active in epoch \(epoch): \(reason)"
    case .takeOver(let takeover):
      "takes over in epoch \(takeover.epoch), \(takeover.reason), after \(takeover.silence / 1_000_000) ms of silence, ledgers "
        + (takeover.areLedgersUsable ? "used" : "not used")
    case .becomeStandby(let reason): "standby: \(reason)"
    case .startOver(let reason): "starts over: \(reason)"
    case .fence(let reason): "fences itself: \(reason)"
    case .openGate: "opens the gate"
    case .holdGate: "holds the gate"
    case .leaveSource(let reason): "leaves its session: \(reason)"
    case .detachStandby(let reason): "detaches its standby: \(reason)"
    case .setReplication(let phase): "replication \(phase)"
    case .prepareHandOver: "stops its sockets, to hand over"
    case .cancelHandOver: "lets its sockets go on"
    case .handOver: "hands over"
    case .sendHeartbeat: "sends a heartbeat"
    case .ask(let question): "asks to \(question.purpose) in epoch \(question.epoch)"
    case .note(.notPermitted(let purpose, let reason)): "may not \(purpose): \(reason)"
    case .note(.pathAlive(let path)): "hears the peer on \(Path(rawValue: path).map { "\($0)" } ?? "?")"
    case .note(.movesToReachable(let node)): "moves to \(node), which clients can reach"
    case .note(.conflict(let node, let epoch)): "sees that \(node) is active too, in epoch \(epoch)"
    }
  }

  /// The last records go to the standby and their acknowledgement comes back, or it does not come in time.
  private func finishHandOver(of host: String) {
    guard let session = hosts[host]?.session else { return }
    let peer = other(than: host)
    send(to: peer, in: session) { driver in
      driver.send(to: host, in: session) { $0.handle(.handOverReady, on: host) }
    }
    after(number("hand_over", 2000)) { $0.handle(.handOverFailed, on: host) }
  }

  // MARK: Heartbeats

  func tick(_ host: String, instance: UInt64) {
    guard let state = hosts[host], state.machine != nil, state.starts == instance else { return }
    after(number("interval", 50)) { $0.tick(host, instance: instance) }
    guard !state.isPaused else { return }
    runTick(host)
  }

  func runTick(_ host: String) {
    renew(host)
    handle(.tick, on: host)
    sendHeartbeat(host)
    if hosts[host]?.follows == true { follow(host) }
  }

  private func sendHeartbeat(_ host: String) {
    guard var state = hosts[host], let machine = state.machine else { return }
    state.sequence += 1
    var heartbeat = machine.heartbeat(sequence: state.sequence)
    if settings["former_release"] == host { heartbeat = heartbeat.ofMinorVersion1 }
    state.said[state.starts, default: []].append(heartbeat)
    hosts[host] = state
    let peer = other(than: host)
    for path in Path.allCases where !cuts.contains(["\(path)", peer]) {
      after(Self.delay) { $0.receive(heartbeat, on: path, by: peer) }
    }
  }

  func receive(_ heartbeat: Heartbeat, on path: Path, by host: String) {
    guard hosts[host]?.isPaused == false else {
      hosts[host]?.heartbeats.append((path.rawValue, heartbeat))
      return
    }
    handle(.heartbeat(path: path.rawValue, heartbeat), on: host)
  }

  // MARK: The channel

  /// A message of the channel: kept while the link is cut, as TCP keeps it, and while its receiver stands still.
  func send(to host: String, in session: Int, _ run: @escaping (Driver) -> Void) {
    let deliver: (Driver) -> Void = { $0.deliver(to: host, in: session, run) }
    guard !cuts.contains(["link", host]) else { return backlog.append((host, deliver)) }
    after(Self.delay, deliver)
  }

  private func deliver(to host: String, in session: Int, _ run: @escaping (Driver) -> Void) {
    guard hosts[host]?.session == session else { return }
    guard hosts[host]?.isPaused == false else {
      hosts[host]?.messages.append { $0.deliver(to: host, in: session, run) }
      return
    }
    run(self)
  }

  func linkHealed() {
    for (_, deliver) in backlog { after(Self.delay, deliver) }
    backlog = []
  }

  var linkStands: Bool { !cuts.contains(["link", "alpha"]) && !cuts.contains(["link", "beta"]) }

  /// Connects to the active host, and is synced 20 ms later.
  private func follow(_ host: String) {
    let source = other(than: host)
    guard hosts[host]?.session == nil, linkStands, let active = hosts[source], let machine = active.machine,
      !active.isPaused, machine.role == .active
    else { return }
    closeChannel(of: source)
    lastSession += 1
    let session = lastSession
    hosts[host]?.session = session
    hosts[source]?.session = session
    note(host, "follows \(source)")
    handle(.channelUp, on: source)
    handle(.following(epoch: machine.epoch, instance: machine.instance), on: host)
    after(number("sync", 20)) { driver in
      guard driver.hosts[source]?.session == session, driver.hosts[source]?.isPaused == false else { return }
      driver.handle(.syncEnding, on: source)
      driver.send(to: host, in: session) { driver in
        driver.handle(.syncCompleted, on: host)
        driver.note(host, "holds everything")
        driver.send(to: source, in: session) { $0.handle(.standbySynced, on: source) }
      }
    }
  }

  /// Ends a host's side of the channel, and tells the other side if the link stands.
  func closeChannel(of host: String) {
    guard let session = hosts[host]?.session else { return }
    hosts[host]?.session = nil
    lose(host, silence: 0)
    let peer = other(than: host)
    send(to: peer, in: session) { driver in
      driver.hosts[peer]?.session = nil
      driver.lose(peer, silence: 0)
    }
  }

  /// Tells a machine that its side of the channel has ended. Each role listens to its own of the two events.
  func lose(_ host: String, silence: UInt64) {
    guard let role = hosts[host]?.machine?.role else { return }
    if role == .active { handle(.channelDown(silence: silence * 1_000_000), on: host) }
    if role == .standby { handle(.sourceLost, on: host) }
  }
}
