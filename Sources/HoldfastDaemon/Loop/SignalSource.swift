internal import CSystemd
internal import Glibc
internal import SystemCalls

/// A signal that is taken from a signalfd in the loop's turn instead of interrupting the program.
final class SignalSource: EventSource {
  private var handler: (() -> Void)?

  fileprivate init(loop: EventLoop, signal: Int32, priority: Int, handler: @escaping () -> Void)
    throws(SystemCallError)
  {
    self.handler = handler
    super.init(loop: loop)
    try attach("sd_event_add_signal", priority: priority, description: "signal \(signal)") { handle, userdata in
      // SD_EVENT_SIGNAL_PROCMASK (v251), a macro with a shift: block it in this thread, for good.
      sd_event_add_signal(
        loop.handle, &handle, signal | 1 << 30,
        { _, _, userdata in
          if let source = SignalSource.from(userdata) { source.handler?() }
          return 0
        }, userdata)
    }
  }

  override func cancel() {
    super.cancel()
    handler = nil
  }
}

extension EventLoop {
  /// Calls `handler` for each `signal` (SIGTERM, SIGINT, SIGHUP, …). Signals that come in a burst may be one.
  ///
  /// The signal is blocked in the calling thread, and threads that it makes later inherit that; threads that are there
  /// already must block it themselves, or the kernel may deliver it to one of them. So add signals first. It stays blocked
  /// when the source is cancelled.
  func addSignal(_ signal: Int32, priority: Int = 0, handler: @escaping () -> Void) throws(SystemCallError)
    -> SignalSource
  {
    try SignalSource(loop: self, signal: signal, priority: priority, handler: handler)
  }
}
