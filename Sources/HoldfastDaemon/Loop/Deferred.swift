internal import CSystemd
internal import SystemCalls

/// Work that is done once, soon, however often it is asked for: what handlers leave to be done together.
///
/// It runs when no source with a lower priority number is pending, and before the loop waits again. Give it a higher number
/// than the sources that ask for it, and it gathers all that they bring in one go.
final class Deferred: EventSource {
  private var handler: (() -> Void)?
  private(set) var isScheduled = false

  fileprivate init(loop: EventLoop, priority: Int, description: String, handler: @escaping () -> Void)
    throws(SystemCallError)
  {
    self.handler = handler
    super.init(loop: loop)
    try attach("sd_event_add_defer", priority: priority, description: description) { handle, userdata in
      sd_event_add_defer(
        loop.handle, &handle,
        { _, userdata in
          Deferred.from(userdata)?.fire()
          return 0
        }, userdata)
    }
    setMode(.off)
  }

  /// Asks for one run. Asking from within the run means another one.
  func schedule() {
    guard !isScheduled else { return }
    isScheduled = true
    setMode(.once)
  }

  override func cancel() {
    super.cancel()
    isScheduled = false
    handler = nil
  }

  private func fire() {
    isScheduled = false
    handler?()
  }
}

extension EventLoop {
  /// Work that is not scheduled yet. The default priority number is that of idle work.
  func addDeferred(priority: Int = 100, description: String, handler: @escaping () -> Void) throws(SystemCallError)
    -> Deferred
  {
    try Deferred(loop: self, priority: priority, description: description, handler: handler)
  }
}
