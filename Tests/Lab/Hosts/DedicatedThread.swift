internal import Glibc

/// A thread of its own for work that changes the thread: setns(2) moves the calling thread alone, and a thread of Swift's
/// concurrency pool that was moved would take whatever runs on it next along.
public final class DedicatedThread: @unchecked Sendable {
  // Written by the new thread before it ends and read after it was joined.
  private var body: (() -> Void)?
  private var handle = pthread_t()
  private var joined = false

  /// Starts a thread that runs `body`.
  public init(_ body: @escaping () -> Void) throws {
    self.body = body
    let argument = Unmanaged.passRetained(self)
    let result = pthread_create(
      &handle, nil,
      { argument in
        guard let argument else { return nil }
        let thread = Unmanaged<DedicatedThread>.fromOpaque(argument).takeRetainedValue()
        thread.body?()
        thread.body = nil
        return nil
      }, argument.toOpaque())
    guard result == 0 else {
      argument.release()
      throw LabError("pthread_create: error \(result)")
    }
  }

  deinit {
    if !joined { pthread_detach(handle) }
  }

  /// Waits for the thread to end. To be called by one thread, once.
  public func join() {
    guard !joined else { return }
    joined = true
    pthread_join(handle, nil)
  }

  /// Runs `body` on a thread of its own and waits for what it returns.
  public static func run<Value>(_ body: () throws -> Value) throws -> Value {
    var result: Result<Value, any Error>?
    try withoutActuallyEscaping(body) { body in
      try withUnsafeMutablePointer(to: &result) { slot in
        let thread = try DedicatedThread { slot.pointee = Result { try body() } }
        thread.join()
      }
    }
    guard let result else { throw LabError("a thread ended without a result") }
    return try result.get()
  }
}
