internal import Glibc
internal import SystemPackage

/// A thread of its own for calls that wait: where an event loop or a task must not.
package enum BackgroundThread {
  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  /// Starts a detached thread; it ends when `body` returns. It takes no signal: those are for the loop, and one that the loop has
  /// blocked would end the process on a thread that has not.
  package static func start(_ body: @escaping @Sendable () -> Void) throws(SystemCallError) {
    let argument = Unmanaged.passRetained(Body(body))
    var thread = pthread_t()
    var all = sigset_t()
    var before = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_SETMASK, &all, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    let result = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, argument.toOpaque())
    guard result == 0 else {
      argument.release()
      throw SystemCallError("pthread_create", errno: Errno(rawValue: result))
    }
    pthread_detach(thread)
  }
}
