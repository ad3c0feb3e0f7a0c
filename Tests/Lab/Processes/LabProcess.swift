internal import CLinux
internal import Glibc
internal import LinuxNetwork
internal import Synchronization
internal import SystemCalls
internal import SystemPackage

/// A process that the laboratory started. Its output goes to files; it is killed when the value ends, and at each end of this
/// process.
public final class LabProcess: Sendable {
  public let name: String
  public let pid: Int32
  private let pidfd: Int32
  private let files: String
  private let status = Mutex<Int32?>(nil)
  private let token: Mutex<Janitor.Token?>

  private static let serial = Atomic<Int>(0)

  /// Starts a program with an empty standard input (or `input`), in a process group of its own, so that Ctrl-C in a terminal
  /// reaches it by way of the laboratory's own clean-up alone.
  /// - Parameters:
  ///   - program: a path, or a name to be looked for as the shell does.
  ///   - logs: a folder for `NAME.out` and `NAME.err`. Without one they go to a temporary folder.
  ///   - passing: descriptors that the process gets as 3, 4, … as from a service manager (sd_listen_fds(3)), by name.
  ///   - quiet: true for tools whose output nobody will ask for later.
  public static func start(
    _ program: String, _ arguments: [String], in namespace: Namespace? = nil, environment: [String: String] = [:],
    input: [UInt8]? = nil, logs: String? = nil, name: String? = nil,
    passing descriptors: [(name: String, descriptor: Int32)] = [], quiet: Bool = false
  ) throws -> LabProcess {
    Janitor.waitUnlessCleaning()
    let number = serial.add(1, ordering: .relaxed).newValue
    let path = try Tool.path(of: program)
    let name = name ?? String(path.split(separator: "/").last ?? "process")
    let folder = try logs ?? Scratch.folder()
    let files = logs == nil ? "\(folder)/\(number)-\(name)" : "\(folder)/\(name)"
    if let input { try Files.write(input, to: "\(files).in") }
    var command = [path] + arguments
    var environment = environment
    if !descriptors.isEmpty {
      // The process's own number is known to itself alone.
      command = ["/bin/sh", "-c", "LISTEN_PID=$$ exec \"$0\" \"$@\""] + command
      environment["LISTEN_FDS"] = "\(descriptors.count)"
      environment["LISTEN_FDNAMES"] = descriptors.map(\.name).joined(separator: ":")
    }
    let pid = try LabProcess.spawn(
      command[0], command, environment: environment, passing: descriptors.map(\.descriptor),
      input: input == nil ? "/dev/null" : "\(files).in",
      output: "\(files).out", error: "\(files).err", in: namespace)
    return try LabProcess(name: name, pid: pid, files: files)
  }

  private init(name: String, pid: Int32, files: String) throws {
    self.name = name
    self.pid = pid
    self.files = files
    pidfd = try systemCall("pidfd_open", on: name) { hf_pidfd_open(pid) }
    token = Mutex(Janitor.add { Glibc.kill(pid, SIGKILL) })
  }

  deinit {
    kill()
    _ = try? wait(until: .seconds(10))
    close(pidfd)
  }

  private static func spawn(
    _ path: String, _ arguments: [String], environment: [String: String], passing descriptors: [Int32], input: String,
    output: String, error: String,
    in namespace: Namespace?
  ) throws -> Int32 {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND | O_TRUNC, 0o644)
    posix_spawn_file_actions_addopen(&actions, 2, error, O_WRONLY | O_CREAT | O_APPEND | O_TRUNC, 0o644)
    // First out of the way, so that none is overwritten before its turn.
    let passed = try descriptors.map { number in
      try systemCall("fcntl(F_DUPFD_CLOEXEC)") { hf_fcntl_int(number, F_DUPFD_CLOEXEC, 3 + Int32(descriptors.count)) }
    }
    defer { for number in passed { close(number) } }
    for (index, number) in passed.enumerated() {
      posix_spawn_file_actions_adddup2(&actions, number, 3 + Int32(index))
    }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    var all = sigset_t()
    sigfillset(&all)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &all)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))

    let argv = arguments.map { strdup($0) } + [nil]
    let envp = LabProcess.environment(with: environment).map { strdup($0) } + [nil]
    defer { for pointer in argv + envp { free(pointer) } }
    var pid: Int32 = 0
    // The child gets the network namespace of the thread that starts it.
    let result =
      try namespace.map { try $0.run { posix_spawn(&pid, path, &actions, &attributes, argv, envp) } }
      ?? posix_spawn(&pid, path, &actions, &attributes, argv, envp)
    guard result == 0 else { throw SystemCallError("posix_spawn", on: path, errno: Errno(rawValue: result)) }
    return pid
  }

  private static func environment(with additions: [String: String]) -> [String] {
    var result: [String] = []
    var pointer = environ
    while let entry = pointer.pointee {
      let text = String(cString: entry)
      if !additions.keys.contains(where: { text.hasPrefix("\($0)=") }) { result.append(text) }
      pointer += 1
    }
    return result + additions.map { "\($0.key)=\($0.value)" }
  }

  /// True until the process has ended.
  public var isRunning: Bool { poll(milliseconds: 0) == nil }

  /// The exit status once the process has ended; 128 + n when signal n ended it.
  public var exitStatus: Int32? { poll(milliseconds: 0) }

  /// Waits for the process's end and returns its exit status: 128 + n when signal n ended it.
  @discardableResult
  public func wait(until deadline: Deadline) throws -> Int32 {
    if let status = poll(milliseconds: deadline.remainingMilliseconds) { return status }
    throw LabError("\(name) (process \(pid)) is still running")
  }

  /// Sends a signal to the process alone.
  public func signal(_ number: Int32) {
    // A process that was waited for has given its number back.
    guard isRunning else { return }
    Glibc.kill(pid, number)
  }

  public func kill() { signal(SIGKILL) }

  /// SIGTERM, then SIGKILL when that is not heard in time.
  public func stop(within seconds: Double = 5) {
    signal(SIGTERM)
    if (try? wait(until: .seconds(seconds))) == nil { kill() }
    _ = try? wait(until: .seconds(5))
  }

  public var outputFile: String { "\(files).out" }
  public var errorFile: String { "\(files).err" }
  public var standardOutput: String { (try? Files.read(outputFile)) ?? "" }
  public var standardError: String { (try? Files.read(errorFile)) ?? "" }

  /// Removes the files with the process's output.
  public func discardOutput() {
    for file in ["\(files).in", outputFile, errorFile] { Files.remove(file) }
  }

  private func poll(milliseconds: Int32) -> Int32? {
    if let known = status.withLock({ $0 }) { return known }
    var request = pollfd(fd: pidfd, events: Int16(POLLIN), revents: 0)
    let deadline = Deadline.seconds(Double(milliseconds) / 1000)
    while true {
      let count = Glibc.poll(&request, 1, deadline.remainingMilliseconds)
      if count > 0 { break }
      if count == 0 || errno != EINTR { return nil }
    }
    let ended: Int32? = status.withLock { status in
      if let status { return status }
      var raw: Int32 = 0
      while waitpid(pid, &raw, 0) == -1 {
        guard errno == EINTR else { return nil }
      }
      status = hf_exit_status(raw)
      return status
    }
    let token = token.withLock { token in
      defer { token = nil }
      return token
    }
    if let token { Janitor.remove(token) }
    return ended
  }
}
