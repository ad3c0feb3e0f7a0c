internal import Glibc
internal import SystemCalls
internal import SystemPackage

/// A line on standard error, whole even when several threads write.
func log(_ text: String) {
  let line = Array("holdfast-file-server: \(text)\n".utf8)
  _ = write(STDERR_FILENO, line, line.count)
}

/// The reason of a call that has just failed.
func lastError(_ call: String, on subject: String = "") -> SystemCallError {
  SystemCallError(call, on: subject, errno: Errno(rawValue: errno))
}

private final class ThreadBody {
  let run: () -> Void
  init(_ run: @escaping () -> Void) { self.run = run }
}

/// Runs `body` on a detached thread of its own, with a small stack: there is one for each connection.
func startThread(_ body: sending @escaping () -> Void) throws(SystemCallError) {
  var attributes = pthread_attr_t()
  pthread_attr_init(&attributes)
  defer { pthread_attr_destroy(&attributes) }
  pthread_attr_setstacksize(&attributes, 512 << 10)
  pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
  let box = Unmanaged.passRetained(ThreadBody(body))
  var thread = pthread_t()
  let code = pthread_create(
    &thread, &attributes,
    { argument in
      if let argument { Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().run() }
      return nil
    }, box.toOpaque())
  guard code == 0 else {
    box.release()
    throw SystemCallError("pthread_create", errno: Errno(rawValue: code))
  }
}
