internal import CLinux
internal import Glibc
internal import LinuxNetwork
internal import SystemCalls

/// epoll(7), level triggered, for one thread that looks after many sockets.
public final class Poller {
  public struct Interest: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let read = Interest(rawValue: EPOLLIN.rawValue)
    public static let write = Interest(rawValue: EPOLLOUT.rawValue)
    /// Reported unasked: the connection was reset, or both its halves are closed.
    public static let broken = Interest(rawValue: EPOLLERR.rawValue | EPOLLHUP.rawValue)
  }

  private let number: Int32
  private var interests: [Int32: Interest] = [:]
  private var events = [epoll_event](repeating: epoll_event(), count: 256)

  public init() throws {
    number = try systemCall("epoll_create1") { epoll_create1(Int32(EPOLL_CLOEXEC)) }
  }

  deinit { close(number) }

  /// Has `descriptor` watched for `interest`; an empty one still reports `broken`.
  public func watch(_ descriptor: Int32, for interest: Interest) throws {
    let known = interests[descriptor]
    if known == interest { return }
    var event = epoll_event()
    event.events = interest.rawValue
    event.data.fd = descriptor
    try systemCall("epoll_ctl") {
      epoll_ctl(number, known == nil ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, descriptor, &event)
    }
    interests[descriptor] = interest
  }

  /// To be called before the descriptor is closed.
  public func forget(_ descriptor: Int32) {
    guard interests.removeValue(forKey: descriptor) != nil else { return }
    var event = epoll_event()
    epoll_ctl(number, EPOLL_CTL_DEL, descriptor, &event)
  }

  /// Waits for events, no longer than `milliseconds`, and hands them out.
  public func wait(milliseconds: Int32, _ body: (Int32, Interest) throws -> Void) throws {
    let count = epoll_wait(number, &events, Int32(events.count), milliseconds)
    guard count > 0 else { return }
    for event in events[..<Int(count)] {
      // An earlier event of this round may have ended the socket.
      guard interests[event.data.fd] != nil else { continue }
      try body(event.data.fd, Interest(rawValue: event.events))
    }
  }
}
