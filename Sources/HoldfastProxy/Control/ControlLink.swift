internal import ControlAPI
internal import Holdfast
internal import LinuxNetwork
internal import NIOPosix
internal import Synchronization
internal import SystemCalls

/// Calls to the daemon without waiting: one thread sends them, another reads the replies, which come in the same order.
///
/// Completions run on the replies' thread; who needs an event loop goes there. When the daemon was restarted the next call
/// connects again.
final class ControlLink: Sendable {
  typealias Completion<Value> = @Sendable (Result<Value, HoldfastError>) -> Void

  private struct Job: Sendable {
    let send: @Sendable (CallChannel) throws(CallChannel.Failure) -> Void
    let receive: @Sendable (CallChannel) throws(CallChannel.Failure) -> Void
    let fail: @Sendable (HoldfastError) -> Void
  }

  /// A connection to the daemon. Sending and receiving touch different parts of the channel, each on a thread of its own.
  private final class Line: @unchecked Sendable {
    let channel: CallChannel
    let isBroken = Atomic<Bool>(false)
    init(path: String) throws(SystemCallError) { channel = try CallChannel(path: path) }
  }

  private struct State {
    var unanswered = 0
    var waiting: [Job] = []
    var line: Line?
  }

  private let path: String
  private let service: String
  private let state = Mutex(State())
  private let sender = NIOThreadPool(numberOfThreads: 1)
  private let receiver = NIOThreadPool(numberOfThreads: 1)

  /// Below the daemon's limit of unanswered calls.
  private static let window = 128

  init(path: String, service: String) {
    self.path = path
    self.service = service
    sender.start()
    receiver.start()
  }

  /// Hands a socket over. Nobody may touch it until the completion has run.
  func register(_ descriptor: Int32, key: String, _ completion: @escaping Completion<RegisterReply>) {
    let call = RegisterCall(fd: 0, service: service, key: key, retention: .confirm)
    submit("Register", call, descriptor: descriptor, completion)
  }

  func confirm(_ id: String, consumed: Int, _ completion: @escaping Completion<VarlinkCodec.NoParameters>) {
    submit("Confirm", ConfirmCall(id: id, consumed: consumed), completion)
  }

  func release(
    _ id: String, how: ReleaseMode, _ completion: @escaping Completion<VarlinkCodec.NoParameters> = { _ in }
  ) {
    submit("Release", ReleaseCall(id: id, how: how), completion)
  }

  /// Waits until all calls are answered, so that what was said last is heard before the process ends.
  /// - Parameter done: runs on another thread.
  func flush(_ done: @escaping @Sendable () -> Void) {
    submit("GetStatus", VarlinkCodec.NoParameters()) { (_: Result<StatusReply, HoldfastError>) in done() }
  }

  private func submit<Value: Decodable & Sendable>(
    _ method: String, _ parameters: some Encodable & Sendable, descriptor: Int32? = nil,
    _ completion: @escaping Completion<Value>
  ) {
    let path = path
    let job = Job(
      send: { channel throws(CallChannel.Failure) in
        try channel.send("io.holdfast.\(method)", parameters, descriptor: descriptor)
      },
      receive: { channel throws(CallChannel.Failure) in
        do throws(CallChannel.Failure) {
          let answer: CallChannel.Answer<Value> = try channel.receive()
          completion(.success(answer.parameters))
        } catch {
          completion(.failure(HoldfastError(error, path: path)))
          throw error
        }
      }, fail: { completion(.failure($0)) })
    let mayGo = state.withLock { state in
      guard state.unanswered < Self.window else {
        state.waiting.append(job)
        return false
      }
      state.unanswered += 1
      return true
    }
    if mayGo { start(job) }
  }

  private func start(_ job: Job) {
    sender.submit { [self] poolState in
      guard case .active = poolState else { return job.fail(.connectionLost(path: path)) }
      send(job)
    }
  }

  private func send(_ job: Job) {
    do throws(HoldfastError) {
      let line = try usableLine()
      do throws(CallChannel.Failure) {
        try job.send(line.channel)
      } catch {
        line.isBroken.store(true, ordering: .relaxed)
        throw HoldfastError(error, path: path)
      }
      receiver.submit { [self] _ in receive(job, line) }
    } catch {
      job.fail(error)
      finished()
    }
  }

  private func receive(_ job: Job, _ line: Line) {
    do throws(CallChannel.Failure) {
      try job.receive(line.channel)
    } catch {
      if case .refused = error {} else { line.isBroken.store(true, ordering: .relaxed) }
    }
    finished()
  }

  private func finished() {
    let next: Job? = state.withLock { state in
      guard state.waiting.isEmpty else { return state.waiting.removeFirst() }
      state.unanswered -= 1
      return nil
    }
    if let next { start(next) }
  }

  /// Only the sender's thread comes here.
  private func usableLine() throws(HoldfastError) -> Line {
    if let line = state.withLock({ $0.line }), !line.isBroken.load(ordering: .relaxed) { return line }
    let line: Line
    do throws(SystemCallError) {
      line = try Line(path: path)
    } catch {
      throw HoldfastError(connecting: error, path: path)
    }
    state.withLock { $0.line = line }
    return line
  }
}
