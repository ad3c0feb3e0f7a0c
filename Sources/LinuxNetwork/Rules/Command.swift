internal import CLinux
internal import Glibc
internal import SystemPackage

/// A program that failed, with what it said.
public struct CommandError: Error, Hashable, Sendable, CustomStringConvertible {
  public let command: String
  /// The exit status, or 128 plus the signal.
  public let status: Int32
  public let output: String

  public var description: String {
    output.isEmpty ? "\(command) ended with status \(status)" : "\(command) ended with status \(status): \(output)"
  }
}

/// Runs a short-lived program and waits for it.
enum Command {
  /// Administrators' programs, which a service's or a user's own path may lack.
  private static let searchPath = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"

  /// - Throws: `CommandError` when it does not exit with 0.
  static func run(_ arguments: [String], input: String = "") throws {
    let (status, output) = try execute(arguments, input: input)
    guard status == 0 else { throw CommandError(command: arguments[0], status: status, output: output) }
  }

  /// The exit status; what it says is not of interest.
  static func status(_ arguments: [String]) throws -> Int32 { try execute(arguments, input: "").status }

  /// Input and output go through files in memory, so that no amount of either can block.
  private static func execute(_ arguments: [String], input: String) throws -> (status: Int32, output: String) {
    let stdin = try memoryFile("holdfast-input")
    var rest = Array(input.utf8)[...]
    while !rest.isEmpty {
      rest = rest.dropFirst(
        try systemCall("write") { rest.withUnsafeBytes { write(stdin.number, $0.baseAddress, $0.count) } })
    }
    _ = lseek(stdin.number, 0, SEEK_SET)
    let output = try memoryFile("holdfast-output")

    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, stdin.number, 0)
    posix_spawn_file_actions_adddup2(&actions, output.number, 1)
    posix_spawn_file_actions_adddup2(&actions, output.number, 2)
    // The daemon's loop blocks signals; the program must not inherit that.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))

    var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
    argv.append(nil)
    var environment: [UnsafeMutablePointer<CChar>?] = [strdup(searchPath), nil]
    if let lock = getenv("XTABLES_LOCKFILE") {
      environment.insert(strdup("XTABLES_LOCKFILE=" + String(cString: lock)), at: 0)
    }
    defer { for pointer in argv + environment { free(pointer) } }
    var pid: pid_t = 0
    guard let path = find(arguments[0]) else {
      throw CommandError(command: arguments[0], status: 127, output: "not found: install the package iptables")
    }
    let failure = posix_spawn(&pid, path, &actions, &attributes, argv, environment)
    guard failure == 0 else { throw SystemCallError("posix_spawn", on: arguments[0], errno: Errno(rawValue: failure)) }
    var status: Int32 = 0
    try systemCall("waitpid", on: arguments[0]) { waitpid(pid, &status, 0) }
    return (hf_exit_status(status), try contents(output))
  }

  private static func find(_ program: String) -> String? {
    ["/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"].map { $0 + program }.first { access($0, X_OK) == 0 }
  }

  private static func memoryFile(_ name: String) throws(SystemCallError) -> Descriptor {
    Descriptor(owning: try systemCall("memfd_create") { hf_memory_file(name) })
  }

  /// At most 4 kB of what a program said, as one line.
  private static func contents(_ file: borrowing Descriptor) throws(SystemCallError) -> String {
    let number = file.number
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = try systemCall("pread") { pread(number, &buffer, buffer.count, 0) }
    let text = String(decoding: buffer.prefix(count), as: UTF8.self)
    return text.split(whereSeparator: \.isNewline).joined(separator: "; ")
  }
}
