internal import HostConfiguration
internal import LinuxNetwork
internal import Logging
internal import TCPModel

/// Notices of the kernel about interfaces and addresses, for all pairs of the daemon.
final class AddressFeed {
  /// The service addresses of all pairs: none of them is the host's own.
  let services: Set<IPAddress>
  private let watch: AddressWatch
  private var source: IOSource?
  private var listeners: [(AddressWatch.Change) -> Void] = []

  init(services: Set<IPAddress>, loop: EventLoop) throws {
    self.services = services
    watch = try AddressWatch()
    source = try loop.addIO(
      watch.descriptor, .readable, priority: LoopPriority.control, description: "changes of addresses"
    ) { [weak self] _ in self?.take() }
  }

  convenience init(_ pairs: [Configuration.Pair], loop: EventLoop) throws {
    try self.init(services: Set(pairs.flatMap(\.addresses).map(\.address)), loop: loop)
  }

  deinit { source?.cancel() }

  /// Calls `body` after every change, for as long as the feed lives.
  func listen(_ body: @escaping (AddressWatch.Change) -> Void) { listeners.append(body) }

  private func take() {
    guard let change = watch.read() else { return }
    for listener in listeners { listener(change) }
  }
}
