import Glibc
import Testing

/// Runs `body` on a thread of its own and waits for it. An event loop belongs to one thread, and a signal mask is per thread:
/// a thread of the test runner's pool would keep it.
func onOwnThread(_ body: @escaping () throws -> Void) throws {
  let job = Job(body)
  var thread = pthread_t()
  let code = pthread_create(
    &thread, nil,
    { argument in
      if let argument { Unmanaged<Job>.fromOpaque(argument).takeUnretainedValue().run() }
      return nil
    }, Unmanaged.passUnretained(job).toOpaque())
  try #require(code == 0, "pthread_create: \(code)")
  pthread_join(thread, nil)
  if let failure = job.failure { throw failure }
}

private final class Job {
  private let body: () throws -> Void
  private(set) var failure: (any Error)?

  init(_ body: @escaping () throws -> Void) { self.body = body }

  func run() {
    do { try body() } catch { failure = error }
  }
}
