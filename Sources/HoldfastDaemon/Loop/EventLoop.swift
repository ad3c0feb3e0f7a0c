internal import CSystemd
internal import Glibc
internal import SystemCalls
internal import SystemPackage

/// libsystemd's event loop (sd-event(3)): the one thread on which the daemon's data path runs.
///
/// Nothing here is thread safe and nothing needs to be: a loop, its sources and everything that their handlers touch belong
/// to the thread that made the loop.
///
/// One turn takes what the kernel reports and runs the handler of the *one* pending source with the lowest priority number;
/// of equals, the one that has waited longest. A handler that leaves work behind is simply called again.
final class EventLoop {
  let handle: OpaquePointer
  private var failure: SystemCallError?

  /// Throws what sd_event_new(3) reports: no memory, or no descriptor for the epoll instance.
  init() throws(SystemCallError) {
    var handle: OpaquePointer?
    try Self.check("sd_event_new", sd_event_new(&handle))
    guard let handle else { throw SystemCallError("sd_event_new", errno: .noMemory) }
    self.handle = handle
  }

  deinit { sd_event_unref(handle) }

  /// Runs handlers until one calls `exit`, and returns the code it gave.
  ///
  /// Throws when the kernel refuses to wait, or when a source could not be armed: a daemon whose timers or sockets are no
  /// longer watched must end, so that its service manager starts it again, and not go deaf.
  func run() throws(SystemCallError) -> Int32 {
    let code = sd_event_loop(handle)
    if let failure { throw failure }
    return try Self.check("sd_event_loop", code)
  }

  /// Runs at most one handler. Waits up to `timeout` nanoseconds for something to do (rounded up to µs; `nil`: for ever).
  /// Returns whether a handler ran.
  @discardableResult
  func turn(timeout: UInt64?) throws(SystemCallError) -> Bool {
    let code = sd_event_run(handle, timeout.map(Self.microseconds) ?? UInt64.max)
    if let failure { throw failure }
    return try Self.check("sd_event_run", code) > 0
  }

  /// Ends `run` once the running handler returns. The first code counts.
  func exit(_ code: Int32) {
    guard !isExiting else { return }
    sd_event_exit(handle, code)
  }

  /// `exit` was called; handlers that are still called during the same turn can use it to do nothing.
  var isExiting: Bool {
    var code: Int32 = 0
    return sd_event_get_exit_code(handle, &code) >= 0
  }

  /// Feeds the service manager's watchdog from this loop when it asked for one (WATCHDOG_USEC, sd_watchdog_enabled(3)):
  /// each half to three quarters of its period, and only while turns are made. Returns whether it asked.
  @discardableResult
  func enableWatchdog() throws(SystemCallError) -> Bool {
    try Self.check("sd_event_set_watchdog", sd_event_set_watchdog(handle, 1)) > 0
  }

  /// When this turn's wait ended: CLOCK_MONOTONIC in nanoseconds, exact to a microsecond and never ahead of
  /// `MonotonicClock.now`. Before the first turn it is the current time.
  var time: UInt64 {
    var microseconds: UInt64 = 0
    // ECHILD after a fork and unknown clocks are its only errors.
    guard sd_event_now(handle, CLOCK_MONOTONIC, &microseconds) >= 0 else { return MonotonicClock.now }
    return microseconds &* 1000
  }

  /// Ends the loop with an error that a source met where it could not throw.
  func fail(_ error: SystemCallError) {
    guard failure == nil else { return }
    failure = error
    exit(1)
  }

  /// libsystemd returns negative errnos instead of setting `errno`.
  @discardableResult
  static func check(_ call: String, on subject: @autoclosure () -> String = "", _ result: Int32)
    throws(SystemCallError) -> Int32
  {
    guard result < 0 else { return result }
    throw SystemCallError(call, on: subject(), errno: Errno(rawValue: 0 &- result))
  }

  /// Rounded up, so that what is due at a nanosecond is never run before it.
  static func microseconds(_ nanoseconds: UInt64) -> UInt64 {
    nanoseconds / 1000 + (nanoseconds % 1000 == 0 ? 0 : 1)
  }
}
