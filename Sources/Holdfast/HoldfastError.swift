public import ControlAPI
public import SystemCalls
internal import SystemPackage

/// Why the daemon could not do what was asked.
public enum HoldfastError: Error, Hashable, Sendable {
  /// Nobody answers at the control socket.
  case daemonNotRunning(path: String)
  /// This process may not connect to the control socket.
  case notPermitted(path: String)
  /// The daemon refused; the error says why.
  case refused(ControlError)
  /// The daemon went away before it answered: whether it did what was asked is not known.
  case connectionLost(path: String)
  /// What answers at the control socket does not speak the interface.
  case protocolViolation(path: String, detail: String)
  /// A connection to be adopted did not fit into this process, which has as many files open as it may. The daemon offers it again:
  /// adopt again when there is room.
  case tooManyOpenFiles
  case system(SystemCallError)
}

extension HoldfastError: CustomStringConvertible {
  /// What is wrong, and what to do about it.
  public var description: String {
    switch self {
    case .daemonNotRunning(let path):
      "holdfastd is not running: nobody answers at \(path); start it (systemctl start holdfastd), or give the path it uses"
    case .notPermitted(let path): "not permitted to connect to \(path): the socket's group may (see node.control)"
    case .refused(let error): "\(error)"
    case .connectionLost(let path): "holdfastd closed the connection at \(path) before it answered; try again"
    case .protocolViolation(let path, let detail):
      "what answers at \(path) does not speak io.holdfast: \(detail); is it holdfastd, and of this version?"
    case .tooManyOpenFiles:
      "an adopted connection did not fit into this process, which has too many files open: raise its limit (LimitNOFILE= of its service, or ulimit -n) and adopt again; the daemon offers the connection until adopt_timeout"
    case .system(let error): "\(error)"
    }
  }

  package init(_ failure: CallChannel.Failure, path: String) {
    switch failure {
    case .system(let error): self = .system(error)
    case .closed: self = .connectionLost(path: path)
    case .malformed(let detail): self = .protocolViolation(path: path, detail: detail)
    case .refused(let error): self = .refused(error)
    case .descriptorsLost: self = .tooManyOpenFiles
    }
  }

  package init(connecting error: SystemCallError, path: String) {
    switch error.errno {
    case .noSuchFileOrDirectory, .connectionRefused: self = .daemonNotRunning(path: path)
    case .permissionDenied: self = .notPermitted(path: path)
    default: self = .system(error)
    }
  }
}
