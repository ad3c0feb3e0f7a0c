internal import CSystemd
internal import Glibc
internal import SystemCalls

/// Readiness of a descriptor, as epoll_ctl(2) defines it.
struct IOEvents: OptionSet, Hashable, Sendable {
  let rawValue: UInt32

  static let readable = IOEvents(rawValue: EPOLLIN.rawValue)
  static let writable = IOEvents(rawValue: EPOLLOUT.rawValue)
  /// Reported whether asked for or not, as is `hangup`.
  static let error = IOEvents(rawValue: EPOLLERR.rawValue)
  static let hangup = IOEvents(rawValue: EPOLLHUP.rawValue)
  static let edgeTriggered = IOEvents(rawValue: EPOLLET.rawValue)
}

/// A descriptor that is watched. The source does not own it: cancel the source before the descriptor is closed, or the
/// number may belong to another file when the loop takes it out of its epoll set.
final class IOSource: EventSource {
  private var handler: ((IOEvents) -> Void)?
  private(set) var events: IOEvents

  fileprivate init(
    loop: EventLoop, descriptor: Int32, events: IOEvents, priority: Int, description: String,
    handler: @escaping (IOEvents) -> Void
  ) throws(SystemCallError) {
    self.handler = handler
    self.events = events
    super.init(loop: loop)
    try attach("sd_event_add_io", priority: priority, description: description) { handle, userdata in
      sd_event_add_io(
        loop.handle, &handle, descriptor, events.rawValue,
        { _, _, ready, userdata in
          if let source = IOSource.from(userdata) { source.handler?(IOEvents(rawValue: ready)) }
          return 0
        }, userdata)
    }
  }

  /// What to wait for from now on. Costs a system call only when it differs from before.
  func setEvents(_ events: IOEvents) {
    guard events != self.events else { return }
    self.events = events
    apply("sd_event_source_set_io_events") { sd_event_source_set_io_events($0, events.rawValue) }
  }

  /// Pauses and resumes. What became ready meanwhile is reported on resumption, unless it is edge triggered.
  func setEnabled(_ enabled: Bool) { setMode(enabled ? .on : .off) }

  override func cancel() {
    super.cancel()
    handler = nil
  }
}

extension EventLoop {
  /// Calls `handler` whenever `descriptor` is ready for one of `events` (level triggered), has failed or was hung up.
  ///
  /// Throws EPERM for a regular file, EEXIST when the loop watches the descriptor already, and what else epoll_ctl(2) has.
  func addIO(
    _ descriptor: Int32, _ events: IOEvents, priority: Int = 0, description: String,
    handler: @escaping (IOEvents) -> Void
  ) throws(SystemCallError) -> IOSource {
    try IOSource(
      loop: self, descriptor: descriptor, events: events, priority: priority, description: description,
      handler: handler)
  }
}
