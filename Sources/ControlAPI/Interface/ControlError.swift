/// What the control interface answers instead of a reply: of `io.holdfast`, and of varlink itself.
public enum ControlError: Error, Hashable, Sendable {
  /// The socket cannot be protected.
  case unsupportedSocket(reason: String)
  /// No pair of this host has the socket's local address.
  case addressNotServed(local: String)
  case alreadyRegistered(id: String)
  /// This host does not own the pair's addresses now.
  case notActive(pair: String)
  case noSuchConnection(id: String)
  case noSuchPair(pair: String)
  case noSuchService(service: String)
  case invalidOffset(reason: String)
  case limitExceeded(limit: String)
  /// The standby does not hold everything yet, or there is none.
  case notSynced(pair: String)
  case permissionDenied(reason: String)
  /// The other host is not one to move to.
  case peerUnfit(pair: String, reason: String)
  /// This host did not become active, or nobody may make it so.
  case notPromoted(reason: String)

  // org.varlink.service
  case invalidParameter(parameter: String)
  case methodNotFound(method: String)
  case methodNotImplemented(method: String)
  case interfaceNotFound(interface: String)
  /// The method answers more than once, and the call did not say `more`.
  case expectedMore

  /// An error that this version does not know.
  case other(name: String, detail: String)
}

extension ControlError {
  /// The qualified name: `io.holdfast.NotActive`.
  public var name: String { wire.name }

  /// Its parameters, as in the interface description.
  public var parameters: [String: String] {
    if case .peerUnfit(let pair, let reason) = self { return ["pair": pair, "reason": reason] }
    guard let field = wire.field else { return [:] }
    return [field: wire.value]
  }

  private var wire: (name: String, field: String?, value: String) {
    switch self {
    case .unsupportedSocket(let reason): ("io.holdfast.UnsupportedSocket", "reason", reason)
    case .addressNotServed(let local): ("io.holdfast.AddressNotServed", "local", local)
    case .alreadyRegistered(let id): ("io.holdfast.AlreadyRegistered", "id", id)
    case .notActive(let pair): ("io.holdfast.NotActive", "pair", pair)
    case .noSuchConnection(let id): ("io.holdfast.NoSuchConnection", "id", id)
    case .noSuchPair(let pair): ("io.holdfast.NoSuchPair", "pair", pair)
    case .noSuchService(let service): ("io.holdfast.NoSuchService", "service", service)
    case .invalidOffset(let reason): ("io.holdfast.InvalidOffset", "reason", reason)
    case .limitExceeded(let limit): ("io.holdfast.LimitExceeded", "limit", limit)
    case .notSynced(let pair): ("io.holdfast.NotSynced", "pair", pair)
    case .permissionDenied(let reason): ("io.holdfast.PermissionDenied", "reason", reason)
    case .peerUnfit(_, let reason): ("io.holdfast.PeerUnfit", "reason", reason)
    case .notPromoted(let reason): ("io.holdfast.NotPromoted", "reason", reason)
    case .invalidParameter(let parameter): ("org.varlink.service.InvalidParameter", "parameter", parameter)
    case .methodNotFound(let method): ("org.varlink.service.MethodNotFound", "method", method)
    case .methodNotImplemented(let method): ("org.varlink.service.MethodNotImplemented", "method", method)
    case .interfaceNotFound(let interface): ("org.varlink.service.InterfaceNotFound", "interface", interface)
    case .expectedMore: ("org.varlink.service.ExpectedMore", nil, "")
    case .other(let name, let detail): (name, nil, detail)
    }
  }

  /// Reads an error reply.
  public init(name: String, parameters: [String: String]) {
    func value(_ field: String) -> String { parameters[field] ?? "" }
    switch name {
    case "io.holdfast.UnsupportedSocket": self = .unsupportedSocket(reason: value("reason"))
    case "io.holdfast.AddressNotServed": self = .addressNotServed(local: value("local"))
    case "io.holdfast.AlreadyRegistered": self = .alreadyRegistered(id: value("id"))
    case "io.holdfast.NotActive": self = .notActive(pair: value("pair"))
    case "io.holdfast.NoSuchConnection": self = .noSuchConnection(id: value("id"))
    case "io.holdfast.NoSuchPair": self = .noSuchPair(pair: value("pair"))
    case "io.holdfast.NoSuchService": self = .noSuchService(service: value("service"))
    case "io.holdfast.InvalidOffset": self = .invalidOffset(reason: value("reason"))
    case "io.holdfast.LimitExceeded": self = .limitExceeded(limit: value("limit"))
    case "io.holdfast.NotSynced": self = .notSynced(pair: value("pair"))
    case "io.holdfast.PermissionDenied": self = .permissionDenied(reason: value("reason"))
    case "io.holdfast.PeerUnfit": self = .peerUnfit(pair: value("pair"), reason: value("reason"))
    case "io.holdfast.NotPromoted": self = .notPromoted(reason: value("reason"))
    case "org.varlink.service.InvalidParameter": self = .invalidParameter(parameter: value("parameter"))
    case "org.varlink.service.MethodNotFound": self = .methodNotFound(method: value("method"))
    case "org.varlink.service.MethodNotImplemented": self = .methodNotImplemented(method: value("method"))
    case "org.varlink.service.InterfaceNotFound": self = .interfaceNotFound(interface: value("interface"))
    case "org.varlink.service.ExpectedMore": self = .expectedMore
    default:
      let detail = parameters.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: ", ")
      self = .other(name: name, detail: detail)
    }
  }
}

extension ControlError: CustomStringConvertible {
  /// What is wrong, and what to do about it.
  public var description: String {
    switch self {
    case .unsupportedSocket(let reason): "this socket cannot be protected: \(reason)"
    case .addressNotServed(let local):
      "no pair has the address of \(local): register connections to a pair's service address, or add it to the configuration"
    case .alreadyRegistered(let id): "the connection is registered already, as \(id): release it first"
    case .notActive(let pair): "this host is not active for \(pair): its connections are registered on the active host"
    case .noSuchConnection(let id): "there is no connection \(id): it has ended, or this host does not own it"
    case .noSuchPair(let pair): "there is no pair \"\(pair)\" in this daemon's configuration"
    case .noSuchService(let service): "\"\(service)\" is no name of a service: 1 to 64 bytes"
    case .invalidOffset(let reason): "the offset cannot be right: \(reason)"
    case .limitExceeded(let limit): "a limit is reached: \(limit)"
    case .notSynced(let pair): "the standby of \(pair) does not hold everything yet: try again when the pair is synced"
    case .permissionDenied(let reason): "not permitted: \(reason)"
    case .peerUnfit(let pair, let reason):
      "\(pair) does not move: \(reason). Mend that first ('holdfastctl status' on the other host says what it is); until then the "
        + "connections go on here"
    case .notPromoted(let reason): "the pair is not promoted or demoted: \(reason)"
    case .invalidParameter(let parameter): "the parameter \"\(parameter)\" is missing or has a wrong value"
    case .methodNotFound(let method): "there is no method \(method): is the daemon older than this program?"
    case .methodNotImplemented(let method): "the daemon does not implement \(method)"
    case .interfaceNotFound(let interface): "the daemon has no interface \(interface)"
    case .expectedMore: "the method answers more than once: call it with \"more\""
    case .other(let name, let detail): detail.isEmpty ? name : "\(name) (\(detail))"
    }
  }
}
