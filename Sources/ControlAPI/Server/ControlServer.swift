public import SystemCalls

/// One client's place among those that a server takes; free again when the last reference goes.
final class ClientPlace {
  final class Counter { var taken = 0 }
  private let counter: Counter

  init(_ counter: Counter) {
    self.counter = counter
    counter.taken += 1
  }

  deinit { counter.taken -= 1 }
}

/// The control socket: takes clients. Bound to no thread; use it and its connections from one.
public final class ControlServer {
  private let listener: UnixListener
  private let info: ServiceInfo
  private let limits: ControlLimits
  private let counter = ClientPlace.Counter()

  /// Listens at `path`. A socket that a dead daemon left there is replaced.
  /// - Parameters:
  ///   - mode: permission bits of the socket: who may write to it may call.
  ///   - group: name or number of the group that the socket is given to; nil leaves it.
  public init(
    path: String, mode: UInt32 = 0o660, group: String? = nil, info: ServiceInfo, limits: ControlLimits = ControlLimits()
  ) throws(UnixListenerError) {
    listener = try UnixListener(path: path, mode: mode, group: group)
    self.info = info
    self.limits = limits
  }

  public var descriptorNumber: Int32 { listener.descriptorNumber }

  /// Takes the next client that waits; nil when none does. Throws when the process has no descriptor for another.
  public func accept(handler: any ControlHandler) throws(SystemCallError) -> ControlConnection? {
    while let socket = try listener.accept() {
      guard counter.taken < limits.clients else {
        Self.turnAway(socket.number, limit: limits.clients)
        continue
      }
      return try ControlConnection(
        socket, place: ClientPlace(counter), handler: handler, info: info, limits: limits)
    }
    return nil
  }

  private static func turnAway(_ socket: Int32, limit: Int) {
    guard let bytes = try? VarlinkCodec.encodeError(.limitExceeded(limit: "\(limit) clients")) else { return }
    // A new socket takes this much at once; whoever is gone already misses nothing.
    _ = try? DescriptorPassing.send(bytes[...], over: socket)
  }
}
