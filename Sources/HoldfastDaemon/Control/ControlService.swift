internal import ControlAPI
internal import HostConfiguration
internal import LinuxNetwork
internal import Logging
internal import Pairing
internal import SystemCalls
internal import TCPModel

/// Answers the control socket for all pairs of this host.
final class ControlService: ControlHandler {
  private let configuration: Configuration
  /// Why the configuration is not that of its file.
  private let problem: String?
  private let pairs: [Pair]
  private let desk: AdoptionDesk
  private let events: EventFeed
  private let packetTable: () -> PacketTableStatus
  private let logger: Logger
  private let clients = ClientBook()

  /// Longest service name and key, bytes of UTF-8.
  private static let serviceLimit = 64
  private static let keyLimit = 4096

  init(
    configuration: Configuration, problem: String?, pairs: [Pair], desk: AdoptionDesk, events: EventFeed,
    packetTable: @escaping () -> PacketTableStatus, logger: Logger
  ) {
    self.packetTable = packetTable
    self.configuration = configuration
    self.problem = problem
    self.pairs = pairs
    self.desk = desk
    self.events = events
    self.logger = logger
  }

  func register(_ call: RegisterCall, descriptor: consuming Descriptor, reply: Reply<RegisterReply>) {
    let socket = SharedDescriptor(descriptor)
    guard !call.service.isEmpty, call.service.utf8.count <= Self.serviceLimit else {
      reply.fail(.noSuchService(service: call.service))
      return
    }
    guard (call.key?.utf8.count ?? 0) <= Self.keyLimit else {
      reply.fail(.limitExceeded(limit: "\(Self.keyLimit) bytes of key"))
      return
    }
    clients.note(call.service, of: reply.client)
    guard ResourceLimits.leavesReserve(socket.number) else {
      reply.fail(
        .limitExceeded(limit: "\(ResourceLimits.descriptors) open files of holdfastd (LimitNOFILE= of its service)"))
      return
    }
    do throws(ControlError) {
      try checkLimits(call.service, user: reply.client.credentials.user)
    } catch {
      reply.fail(error)
      return
    }
    let flow: Flow
    do {
      try SocketInspection.validate(socket.number)
      flow = try SocketInspection.flow(socket.number).flow
    } catch {
      reply.fail(.unsupportedSocket(reason: "\(error)"))
      return
    }
    guard let pair = pairs.first(where: { $0.serves(flow.local.address) }) else {
      reply.fail(.addressNotServed(local: "\(flow.local)"))
      return
    }
    pair.register(
      socket, flow: flow, service: call.service, key: call.key, retention: call.retention ?? .read,
      owner: reply.client.credentials
    ) { result in
      switch result {
      case .success(let outcome):
        pair.keep?.settle(outcome.connection.id)
        reply.succeed(
          RegisterReply(
            id: outcome.connection.name, protected: outcome.reason == nil, reason: outcome.reason))
      case .failure(let error): reply.fail(error)
      }
    }
  }

  /// What one user, and one service, may have of a daemon that others share.
  private func checkLimits(_ service: String, user: UInt32) throws(ControlError) {
    let perUser = configuration.node.connectionsPerUser
    guard pairs.reduce(0, { $0 + $1.table.count(ofUser: user) }) < perUser else {
      throw .limitExceeded(limit: "\(perUser) connections of one user (node.connections_per_user)")
    }
    let policy = configuration.policy(of: service)
    guard pairs.reduce(0, { $0 + $1.table.count(ofService: service) }) < policy.connections else {
      throw .limitExceeded(limit: "\(policy.connections) connections of service \"\(service)\" (service.connections)")
    }
  }

  func adopt(_ call: AdoptCall, reply: Reply<AdoptReply>) {
    guard !call.service.isEmpty, call.service.utf8.count <= Self.serviceLimit else {
      reply.fail(.noSuchService(service: call.service))
      return
    }
    let adopter = AdoptionDesk.Adopter(service: call.service) { [weak self] connection in
      guard let self, !reply.isCancelled else { return false }
      let checkpoint = connection.ledger.checkpoints.covered
      let answer = AdoptReply(
        connection: info(connection), state: checkpoint?.state.base64, produced: checkpoint?.produced.map(Int.init))
      let wasOrphan = connection.isOrphan
      assign(connection, to: reply.client)
      guard reply.succeed(answer, descriptor: connection.socket, continues: true) else {
        returned(connection, isOrphan: wasOrphan)
        return false
      }
      let process = reply.client.credentials.process
      events.publish(
        .adopted, pair: pair(of: connection)?.name, connection: connection, "adopted by process \(process)")
      return true
    }
    clients.note(call.service, of: reply.client)
    reply.onHangup = { [weak self, weak adopter] in
      if let adopter { self?.desk.leave(adopter) }
    }
    desk.wait(adopter)
  }

  func release(_ call: ReleaseCall, reply: Reply<VarlinkCodec.NoParameters>) {
    answer(reply, about: call.id) { (pair, connection) throws(ControlError) in
      // It is about to be the other host's: what an application does to it here no longer counts.
      guard pair.ownsItsConnections else { throw .notActive(pair: pair.name) }
      pair.release(connection, how: call.how ?? .keep)
    }
  }

  func confirm(_ call: ConfirmCall, reply: Reply<VarlinkCodec.NoParameters>) {
    answer(reply, about: call.id) { (pair, connection) throws(ControlError) in
      try pair.active.confirm(connection, upTo: call.consumed)
    }
  }

  func checkpoint(_ call: CheckpointCall, reply: Reply<VarlinkCodec.NoParameters>) {
    answer(reply, about: call.id) { (pair, connection) throws(ControlError) in
      guard let state = [UInt8](base64: call.state) else { throw .invalidParameter(parameter: "state") }
      try pair.active.checkpoint(connection, state: state, consumed: call.consumed, produced: call.produced)
    }
  }

  func monitor(reply: Reply<MonitorReply>) { events.subscribe(reply) }

  func clientGone(_ client: ControlClient) { clients.forget(client) }

  /// Finds the connection that a call is about, sees whether the client may say anything about it, and answers.
  private func answer(
    _ reply: Reply<VarlinkCodec.NoParameters>, about id: String,
    _ body: (Pair, LiveConnection) throws(ControlError) -> Void
  ) {
    do throws(ControlError) {
      guard let number = LiveConnection.number(ofName: id),
        let pair = pairs.first(where: { $0.connection(number) != nil }), let connection = pair.connection(number)
      else { throw .noSuchConnection(id: id) }
      try clients.check(reply.client, mayChange: connection)
      try body(pair, connection)
      reply.succeed()
    } catch {
      reply.fail(error)
    }
  }

  func switchover(_ call: SwitchoverCall, reply: Reply<VarlinkCodec.NoParameters>) {
    with(call, reply) { $0.switchover(completion: $1) }
  }

  func promote(_ call: SwitchoverCall, reply: Reply<VarlinkCodec.NoParameters>) {
    with(call, reply) { $0.promote(completion: $1) }
  }

  func demote(_ call: SwitchoverCall, reply: Reply<VarlinkCodec.NoParameters>) {
    with(call, reply) { $0.demote(completion: $1) }
  }

  private func with(
    _ call: SwitchoverCall, _ reply: Reply<VarlinkCodec.NoParameters>,
    _ body: (Pair, @escaping (Result<Void, ControlError>) -> Void) -> Void
  ) {
    guard let pair = pairs.first(where: { $0.name == call.pair }) else {
      reply.fail(.noSuchPair(pair: call.pair))
      return
    }
    body(pair) { result in
      switch result {
      case .success: reply.succeed()
      case .failure(let error): reply.fail(error)
      }
    }
  }

  func getStatus(reply: Reply<StatusReply>) {
    reply.succeed(
      StatusReply(
        node: configuration.node.name, pairs: pairs.map(\.status), packetTable: packetTable(),
        configurationProblem: problem))
  }

  func listConnections(_ call: ListConnectionsCall, reply: Reply<ListConnectionsReply>) {
    if let name = call.pair, !pairs.contains(where: { $0.name == name }) {
      reply.fail(.noSuchPair(pair: name))
      return
    }
    let connections = pairs.filter { call.pair == nil || $0.name == call.pair }.flatMap(\.connectionInfos)
    reply.succeed(
      ListConnectionsReply(connections: connections.filter { call.service == nil || $0.service == call.service }))
  }

  private func pair(of connection: LiveConnection) -> Pair? { pairs.first { $0.connection(connection.id) != nil } }

  private func info(_ connection: LiveConnection) -> ConnectionInfo {
    let pair = pair(of: connection)
    var info = ConnectionInfo(
      connection.ledger, pair: pair?.name ?? "", live: connection, protected: pair?.isProtected(connection) ?? false,
      lag: 0)
    // What its former application here has written goes out by itself.
    if connection.isOrphan, let written = try? connection.writtenOffset() { info.sent = Int(written) }
    return info
  }

  /// A connection is a client's from now on, for a daemon that follows this one, too: the client may act on its answer at once.
  private func assign(_ connection: LiveConnection, to client: ControlClient) {
    connection.owner = client.credentials
    connection.delivery = client
    connection.holder = nil
    connection.holderStart = nil
    connection.absences = 0
    connection.isOrphan = false
    let pair = pair(of: connection)
    pair?.table.assign(connection, to: client.credentials.user)
    pair?.keep?.settle(connection.id)
  }

  /// The client could not be told.
  private func returned(_ connection: LiveConnection, isOrphan: Bool) {
    connection.owner = nil
    connection.delivery = nil
    connection.isOrphan = isOrphan
    pair(of: connection)?.table.disown(connection)
  }
}
