internal import ControlAPI
internal import LinuxNetwork
internal import Logging
internal import TCPModel

/// Answers the control socket for all pairs of this host.
final class ControlService: ControlHandler {
  private let node: String
  private let pairs: [Pair]
  private let desk: AdoptionDesk
  private let logger: Logger

  /// Longest service name and key, bytes of UTF-8.
  private static let serviceLimit = 64
  private static let keyLimit = 4096

  init(node: String, pairs: [Pair], desk: AdoptionDesk, logger: Logger) {
    self.node = node
    self.pairs = pairs
    self.desk = desk
    self.logger = logger
  }

  func register(_ call: RegisterCall, descriptor: consuming Descriptor, reply: Reply<RegisterReply>) {
    let socket = SharedDescriptor(descriptor)
    guard !call.service.isEmpty, call.service.utf8.count <= Self.serviceLimit else {
      reply.fail(.invalidParameter(parameter: "service"))
      return
    }
    guard (call.key?.utf8.count ?? 0) <= Self.keyLimit else {
      reply.fail(.limitExceeded(limit: "\(Self.keyLimit) bytes of key"))
      return
    }
    guard call.retention ?? .read == .read else {
      reply.fail(.methodNotImplemented(method: "io.holdfast.Register with retention confirm"))
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
      socket, flow: flow, service: call.service, key: call.key, owner: reply.client.credentials.process
    ) { result in
      switch result {
      case .success(let outcome):
        reply.succeed(
          RegisterReply(
            id: outcome.connection.name, protected: outcome.reason == nil, reason: outcome.reason))
      case .failure(let error): reply.fail(error)
      }
    }
  }

  func adopt(_ call: AdoptCall, reply: Reply<AdoptReply>) {
    guard !call.service.isEmpty, call.service.utf8.count <= Self.serviceLimit else {
      reply.fail(.noSuchService(service: call.service))
      return
    }
    let adopter = AdoptionDesk.Adopter(service: call.service) { [weak self] connection in
      guard let self, !reply.isCancelled, let descriptor = try? connection.socket.duplicate() else { return false }
      let delivered = reply.succeed(
        AdoptReply(connection: info(connection)), descriptor: descriptor, continues: true)
      if delivered { connection.owner = reply.client.credentials.process }
      return delivered
    }
    reply.onHangup = { [weak self, weak adopter] in
      if let adopter { self?.desk.leave(adopter) }
    }
    desk.wait(adopter)
  }

  func release(_ call: ReleaseCall, reply: Reply<VarlinkCodec.NoParameters>) {
    guard let id = LiveConnection.number(ofName: call.id) else {
      reply.fail(.noSuchConnection(id: call.id))
      return
    }
    for pair in pairs {
      guard let connection = pair.connection(id) else { continue }
      pair.release(connection, how: call.how ?? .keep)
      reply.succeed()
      return
    }
    reply.fail(.noSuchConnection(id: call.id))
  }

  func getStatus(reply: Reply<StatusReply>) {
    reply.succeed(StatusReply(node: node, pairs: pairs.map(\.status)))
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

  private func info(_ connection: LiveConnection) -> ConnectionInfo {
    let pair = pairs.first { $0.connection(connection.id) != nil }
    return ConnectionInfo(connection.ledger, pair: pair?.name ?? "", live: connection, protected: false, lag: 0)
  }
}
