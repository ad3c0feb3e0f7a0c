internal import CLinux
internal import Glibc
internal import Synchronization

/// Sees to it that nothing of a laboratory outlives its process: what was made is undone, newest first, when the process ends
/// by returning, by `exit`, or by SIGINT, SIGTERM or SIGHUP. A process that was killed outright is cleaned up after by the
/// next laboratory (`Namespace.removeLeftovers`).
enum Janitor {
  typealias Token = UInt64

  private struct State {
    var actions: [(token: Token, action: @Sendable () -> Void)] = []
    var next: Token = 1
    /// Whose clean-up has begun.
    var cleaner: pthread_t?
    var installed = false
  }

  private static let state = Mutex(State())

  /// The writing end of the pipe that carries signals out of the handler. Set before the handler is installed.
  private static let signalPipe = Atomic<Int32>(-1)

  /// Has `action` run at the end of the process, unless it is taken back before.
  static func add(_ action: @escaping @Sendable () -> Void) -> Token {
    let (token, isTooLate, install) = state.withLock { state in
      let token = state.next
      state.next += 1
      // The tools that the clean-up itself runs are not to be killed for it.
      let isOwn = state.cleaner.map { pthread_equal($0, pthread_self()) != 0 } ?? false
      if state.cleaner == nil { state.actions.append((token, action)) }
      defer { state.installed = true }
      return (token, state.cleaner != nil && !isOwn, !state.installed)
    }
    if install { self.install() }
    if isTooLate { action() }
    return token
  }

  /// Takes an action back: what it would undo has been undone.
  static func remove(_ token: Token) {
    state.withLock { state in state.actions.removeAll { $0.token == token } }
  }

  /// Undoes everything now. One thread does: another one that comes here waits for the end of the process, which is near.
  static func cleanUp() {
    let isFirst = state.withLock { state in
      defer { state.cleaner = state.cleaner ?? pthread_self() }
      return state.cleaner == nil
    }
    guard isFirst else { return waitUnlessCleaning() }
    while let last = state.withLock({ $0.actions.popLast() }) { last.action() }
    // What another thread was just making.
    for _ in 0..<50 where Namespace.removeOwn() { usleep(20_000) }
  }

  /// A thread that wants to go on while all is being undone stops here for good, unless it is the one that undoes it.
  static func waitUnlessCleaning() {
    let isOver = state.withLock { state in state.cleaner.map { pthread_equal($0, pthread_self()) == 0 } ?? false }
    while isOver { pause() }
  }

  private static func install() {
    atexit { Janitor.cleanUp() }
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { return }
    for end in ends { _ = hf_fcntl_int(end, F_SETFD, FD_CLOEXEC) }
    signalPipe.store(ends[1], ordering: .releasing)
    let reader = ends[0]
    // The handler only writes to the pipe (signal-safety(7)); the work is done here, where locks may be taken.
    _ = try? DedicatedThread {
      var number: UInt8 = 0
      while true {
        let count = read(reader, &number, 1)
        if count == 1 { break }
        if count == 0 || errno != EINTR { return }
      }
      Janitor.cleanUp()
      let signalNumber = Int32(number)
      signal(signalNumber, SIG_DFL)
      kill(getpid(), signalNumber)
    }
    for number in [SIGINT, SIGTERM, SIGHUP] {
      signal(number) { number in
        var byte = UInt8(truncatingIfNeeded: number)
        _ = write(Janitor.signalPipe.load(ordering: .acquiring), &byte, 1)
      }
    }
  }
}
