internal import Glibc
internal import Synchronization
internal import SystemCalls

/// Blocking calls, carried out in order on a thread of their own.
final class JobQueue: Sendable {
  private enum Job: Sendable {
    case work(@Sendable () -> Void)
    case stop
  }

  /// What the thread holds on to: it must not keep the queue alive that is to end it.
  private final class Jobs: Sendable {
    let waiting = Mutex<[Job]>([])
    /// A byte for each job that was posted.
    let wakes: (reading: Int32, writing: Int32)

    init() throws(SystemCallError) {
      var ends: [Int32] = [-1, -1]
      try systemCall("socketpair") {
        socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends)
      }
      wakes = (ends[0], ends[1])
    }

    deinit {
      close(wakes.reading)
      close(wakes.writing)
    }

    func post(_ job: Job) {
      waiting.withLock { $0.append(job) }
      var byte: UInt8 = 0
      _ = write(wakes.writing, &byte, 1)
    }

    func run() {
      var bytes = [UInt8](repeating: 0, count: 64)
      while true {
        _ = read(wakes.reading, &bytes, bytes.count)
        let jobs = waiting.withLock { jobs in
          defer { jobs = [] }
          return jobs
        }
        for job in jobs {
          switch job {
          case .work(let body): body()
          case .stop: return
          }
        }
      }
    }
  }

  private let jobs: Jobs

  init() throws(SystemCallError) {
    let jobs = try Jobs()
    self.jobs = jobs
    try BackgroundThread.start { jobs.run() }
  }

  deinit { jobs.post(.stop) }

  func run<Value: Sendable>(
    _ body: @escaping @Sendable () -> Result<Value, HoldfastError>
  ) async throws(HoldfastError) -> Value {
    let result = await withCheckedContinuation { continuation in
      jobs.post(.work { continuation.resume(returning: body()) })
    }
    return try result.get()
  }
}
