internal import CSystemd

/// Tells the service manager how the daemon is (sd_notify(3)); without one, nothing happens. The watchdog is fed by the loop.
package final class ServiceManager {
  private let send: (String) -> Void
  private var shown: String?

  /// What the manager does not hear it cannot act upon, and neither can the daemon: errors are of no use here.
  package convenience init() { self.init { _ = sd_notify(0, $0) } }

  package init(send: @escaping (String) -> Void) { self.send = send }

  /// Start-up is over.
  package func ready() { send("READY=1") }

  /// One line, shown by `systemctl status`. Costs nothing while it stays the same, so it may be told at every turn.
  package func status(_ text: String) {
    guard text != shown else { return }
    shown = text
    // A newline would begin another assignment.
    send("STATUS=" + text.replacing("\n", with: " "))
  }

  /// The end, or whatever else the manager waits for, needs this much longer, s, from now on.
  package func extendTimeout(by seconds: Int) { send("EXTEND_TIMEOUT_USEC=\(seconds)000000") }

  /// An orderly end has begun.
  package func stopping() { send("STOPPING=1") }
}
