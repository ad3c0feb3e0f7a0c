import Glibc
import Holdfast
import Lab
import LinuxNetwork
import SystemCalls
import TCPModel
import Testing

/// Executes the commands of the conformance script with one client library, on one host.
protocol LibraryDriver: AnyObject {
  /// Gives a command; the answer comes later.
  func begin(_ command: String) throws
  /// The answer to the oldest command that has not been answered: `ok …` or `error NAME`.
  func answer() async throws -> String
}

extension LibraryDriver {
  func perform(_ command: String) async throws -> String {
    try begin(command)
    return try await answer()
  }
}

enum ClientLibrary: String, CaseIterable, Sendable {
  case swift
  case python
  case pythonAsyncio
  case c

  static let sources = #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined() + "/Sources/Clients"
  private static let drivers = #filePath.split(separator: "/").dropLast(2).map { "/\($0)" }.joined() + "/Conformance"

  func driver(on host: DaemonHost) throws -> any LibraryDriver {
    switch self {
    case .swift: return SwiftDriver(on: host)
    case .python, .pythonAsyncio:
      return try ProcessDriver(
        "python3", ["\(Self.drivers)/driver.py", self == .python ? "sync" : "asyncio", host.controlPath], on: host,
        environment: ["PYTHONPATH": "\(Self.sources)/python", "PYTHONDONTWRITEBYTECODE": "1"])
    case .c:
      let program = "\(try Scratch.subfolder("conformance-c"))/driver"
      try Tool.run(
        "cc",
        [
          "-std=c11", "-Wall", "-Wextra", "-Werror", "-g", "-fsanitize=address,undefined", "-I\(Self.sources)/c",
          "-o", program, "\(Self.drivers)/driver.c", "\(Self.sources)/c/holdfast.c",
        ])
      return try ProcessDriver(program, [host.controlPath], on: host)
    }
  }
}

/// A program that reads commands from its standard input.
final class ProcessDriver: LibraryDriver {
  let process: LabProcess
  private let commands: Int32
  private var answered = 0

  init(_ program: String, _ arguments: [String], on host: DaemonHost, environment: [String: String] = [:]) throws {
    let pipe = "\(try Scratch.subfolder("conformance-\(host.name)"))/commands"
    try #require(mkfifo(pipe, 0o600) == 0)
    // Both ways, so that opening does not wait for the other side.
    commands = open(pipe, O_RDWR | O_CLOEXEC)
    try #require(commands >= 0)
    let words = [program] + arguments
    process = try LabProcess.start(
      "sh", ["-c", "exec \(words.map { "'\($0)'" }.joined(separator: " ")) < '\(pipe)'"], in: host.namespace,
      environment: environment)
  }

  deinit { close(commands) }

  func kill() { process.kill() }

  func begin(_ command: String) throws {
    let bytes = Array("\(command)\n".utf8)
    #expect(write(commands, bytes, bytes.count) == bytes.count)
  }

  func answer() async throws -> String {
    var lines: [Substring] = []
    try wait(for: "an answer: \(process.standardOutput)\(process.standardError)", until: .seconds(60)) {
      guard process.isRunning else { throw LabError("the driver ended: \(process.standardError)") }
      let output = process.standardOutput
      lines = output.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
      return lines.count > answered
    }
    answered += 1
    return String(lines[answered - 1])
  }
}

/// The Swift library, in this process.
private final class SwiftDriver: LibraryDriver {
  private let host: DaemonHost
  private var commands: [[String]] = []
  private var adoption: Task<ResumableConnection?, any Error>?
  private var daemon: AsyncHoldfast?
  private var listener: TCPSocket?
  private var connections: [String: ResumableConnection] = [:]
  private var numbers: [String: Int32] = [:]

  init(on host: DaemonHost) { self.host = host }

  func begin(_ command: String) throws {
    let words = command.split(separator: " ").map(String.init)
    if daemon == nil { daemon = try AsyncHoldfast(path: host.controlPath) }
    if words[0] == "adopt", let daemon {
      let service = words[2]
      adoption = Task {
        for try await connection in daemon.adoptions(service: service) { return connection }
        return nil
      }
    }
    commands.append(words)
  }

  func answer() async throws -> String {
    do {
      return "ok \(try await perform(commands.removeFirst()))"
    } catch HoldfastError.refused(let error) {
      return "error \(error.name)"
    }
  }

  private func perform(_ words: [String]) async throws -> String {
    let daemon = try #require(daemon)
    switch words[0] {
    case "listen":
      listener = try host.namespace.run { try TCPSocket.listen(on: try Endpoint("0.0.0.0", UInt16(words[1]) ?? 0)) }
      return ""
    case "missing":
      try await daemon.confirm("0123456789abcdef", consumed: 0)
      return ""
    case "accept":
      var accepted: TCPSocket?
      try wait(for: "a connection", until: .seconds(20)) {
        accepted = try listener?.accept()
        return accepted != nil
      }
      let socket = Descriptor(owning: dup(try #require(accepted).number))
      numbers[words[1]] = socket.number
      accepted = nil
      let connection = try await daemon.protect(
        socket, service: words[2], key: words[4] == "-" ? nil : words[4],
        retention: try #require(Retention(rawValue: words[3])))
      connections[words[1]] = connection
      return connection.id
    case "adopt":
      let connection = try #require(try await adoption?.value)
      connections[words[1]] = connection
      let state = connection.checkpointedState.map { $0.map { byte in hex(byte) }.joined() }
      return "\(connection.id) \(connection.key ?? "-") \(state ?? "-") \(await describe(connection))"
    default: return try await perform(words, on: try #require(connections[words[1]]), daemon)
    }
  }

  private func perform(
    _ words: [String], on connection: ResumableConnection, _ daemon: AsyncHoldfast
  ) async throws -> String {
    switch words[0] {
    case "read":
      var bytes: [UInt8] = []
      while bytes.count < Int(words[2]) ?? 0 {
        let piece = try await connection.read(upTo: (Int(words[2]) ?? 0) - bytes.count)
        if piece.isEmpty { break }
        bytes += piece
      }
      return bytes.map { hex($0) }.joined()
    case "write": try await connection.write(bytes(hex: words[2]))
    case "rewind": await connection.rewind(to: Int(words[2]) ?? 0)
    case "confirm": try await connection.confirm(words.count > 2 ? Int(words[2]) : nil)
    case "checkpoint": try await connection.checkpoint(bytes(hex: words[2]))
    case "raw-checkpoint":
      try await daemon.checkpoint(
        connection.id, state: [UInt8](repeating: 0, count: Int(words[2]) ?? 0), consumed: Int(words[3]),
        produced: Int(words[4]))
    case "again": _ = try await daemon.register(try #require(numbers[words[1]]), service: words[2])
    case "end": if words[2] == "close" { try await connection.close() } else { try await connection.reset() }
    default: throw LabError("no such command: \(words)")
    }
    return await describe(connection)
  }

  private func describe(_ connection: ResumableConnection) async -> String {
    "consumed=\(await connection.consumed) produced=\(await connection.produced) skip=\(await connection.skipping)"
  }
}

/// Two digits.
func hex(_ byte: UInt8) -> String { (byte < 16 ? "0" : "") + String(byte, radix: 16) }

func bytes(hex text: String) -> [UInt8] {
  let digits = Array(text.utf8).compactMap { Character(UnicodeScalar($0)).hexDigitValue }
  return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}
