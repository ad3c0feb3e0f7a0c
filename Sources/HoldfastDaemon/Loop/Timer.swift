internal import CSystemd
internal import Glibc
internal import SystemCalls

/// A deadline on CLOCK_MONOTONIC that can be set again and again, and calls its handler once each time that it passes.
///
/// Made for deadlines that move with every packet: setting it later than before, or disarming it, makes no call at all. The
/// kernel's timer is left alone, and when it fires too early it is set to the deadline that holds by then.
final class Timer: EventSource {
  private var handler: (() -> Void)?
  /// When the handler is to be called, CLOCK_MONOTONIC in nanoseconds; `nil` when disarmed.
  private(set) var deadline: UInt64?
  /// What libsystemd has been told, µs; `nil` when its source is off.
  private var armed: UInt64?

  fileprivate init(loop: EventLoop, priority: Int, description: String, handler: @escaping () -> Void)
    throws(SystemCallError)
  {
    self.handler = handler
    super.init(loop: loop)
    try attach("sd_event_add_time", priority: priority, description: description) { handle, userdata in
      // An accuracy of 0 would mean the default, which is 250 ms.
      sd_event_add_time(
        loop.handle, &handle, CLOCK_MONOTONIC, UInt64.max, 1,
        { _, _, userdata in
          Timer.from(userdata)?.fire()
          return 0
        }, userdata)
    }
    setMode(.off)
  }

  /// Calls the handler once, at `deadline` (CLOCK_MONOTONIC, nanoseconds) or up to 2 µs plus scheduling later; in the next
  /// turn when it has passed already. Replaces an earlier deadline.
  func set(at deadline: UInt64) {
    self.deadline = deadline
    let microseconds = EventLoop.microseconds(deadline)
    if let armed, armed <= microseconds { return }
    arm(microseconds)
  }

  /// As `set(at:)`; `nil` disarms.
  func set(at deadline: UInt64?) {
    if let deadline { set(at: deadline) } else { disarm() }
  }

  func disarm() { deadline = nil }

  override func cancel() {
    super.cancel()
    disarm()
    handler = nil
  }

  private func arm(_ microseconds: UInt64) {
    armed = microseconds
    apply("sd_event_source_set_time") { sd_event_source_set_time($0, microseconds) }
    setMode(.once)
  }

  private func fire() {
    armed = nil
    guard let deadline else { return }
    if deadline > loop.time {
      arm(EventLoop.microseconds(deadline))
    } else {
      self.deadline = nil
      handler?()
    }
  }
}

extension EventLoop {
  /// A timer that is not armed yet.
  func addTimer(priority: Int = 0, description: String, handler: @escaping () -> Void) throws(SystemCallError) -> Timer
  {
    try Timer(loop: self, priority: priority, description: description, handler: handler)
  }
}
