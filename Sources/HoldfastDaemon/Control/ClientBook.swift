internal import ControlAPI
internal import LinuxNetwork
internal import SystemCalls
internal import TCPModel

/// What clients of the control socket have named as theirs: an application's mistake must not reach another's connections.
final class ClientBook {
  private var services: [ObjectIdentifier: Set<String>] = [:]
  /// Services of one client; one that names more is not told apart any further.
  private static let serviceLimit = 64

  /// A client registers or adopts for a service.
  func note(_ service: String, of client: ControlClient) {
    let key = ObjectIdentifier(client)
    if services[key]?.count ?? 0 < Self.serviceLimit { services[key, default: []].insert(service) }
  }

  func forget(_ client: ControlClient) { services[ObjectIdentifier(client)] = nil }

  /// A client that has named services speaks for their connections alone; any other, such as holdfastctl, for all. Either way
  /// those of another user are none of its business, unless it is root.
  func check(_ client: ControlClient, mayChange connection: LiveConnection) throws(ControlError) {
    let service = connection.ledger.identity.service
    if let own = services[ObjectIdentifier(client)], !own.contains(service), own.count < Self.serviceLimit {
      throw .permissionDenied(
        reason: "\(connection.name) belongs to service \"\(service)\", and this client registers and adopts for "
          + own.sorted().map { "\"\($0)\"" }.joined(separator: ", "))
    }
    let user = client.credentials.user
    guard user == 0 || connection.owner == nil || connection.owner?.user == user else {
      throw .permissionDenied(reason: "\(connection.name) belongs to another user's application")
    }
  }
}
