import Glibc
@testable import HostConfiguration
import Logging
import Testing

@testable import DaemonSupport
@testable import HoldfastDaemon

/// What journald would get, at its own address, in a mount namespace where nobody else listens there. Needs root.
@Suite struct JournalSocketTests {
  @Test func anEntryArrivesWithItsFieldsWhole() throws {
    try onOwnThread {
      // The thread leaves the process's file system view and takes the namespace with it when it ends.
      try leaveFileSystem()
      try mountPrivately()
      let journal = try journalSocket()
      defer { close(journal) }

      let logger = Logger(label: "test") { _ in DaemonLogHandler(level: .info, output: .journal) }
      logger.event(
        .connectionLost, level: .error, "connection lost", metadata: ["reason": "two\nlines", "pair": "web"])

      let entry = try receive(from: journal)
      #expect(entry["MESSAGE"] == "connection lost")
      #expect(entry["MESSAGE_ID"] == "7ce8b3f44a304b0f86b8f0dafe05d50f")
      #expect(entry["PRIORITY"] == "3")
      #expect(entry["SYSLOG_IDENTIFIER"] == "holdfastd")
      #expect(entry["HOLDFAST_PAIR"] == "web")
      #expect(entry["HOLDFAST_REASON"] == "two\nlines")
      #expect(entry["CODE_FILE"] == "HoldfastDaemonTests/JournalSocketTests.swift")
      #expect(entry["CODE_FUNC"] == "anEntryArrivesWithItsFieldsWhole()")
      #expect(entry["CODE_LINE"].flatMap { Int($0) } != nil)
    }
  }

  /// unshare(2) stands behind _GNU_SOURCE, where Swift's Glibc module does not see it.
  private func leaveFileSystem() throws {
    typealias Unshare = @convention(c) (Int32) -> Int32
    let symbol = try #require(dlsym(nil, "unshare"))
    let cloneNewNamespace: Int32 = 0x0002_0000, cloneFileSystem: Int32 = 0x0000_0200
    let status = unsafeBitCast(symbol, to: Unshare.self)(cloneNewNamespace | cloneFileSystem)
    try #require(status == 0, "unshare: errno \(errno)")
  }

  private func mountPrivately() throws {
    let recursivelyPrivate = UInt(MS_REC | MS_PRIVATE)
    var status = mount("none", "/", nil, recursivelyPrivate, nil)
    try #require(status == 0, "errno \(errno)")
    status = mount("tmpfs", "/run", "tmpfs", 0, nil)
    try #require(status == 0, "mount: errno \(errno)")
    for folder in ["/run/systemd", "/run/systemd/journal"] { try #require(mkdir(folder, 0o755) == 0) }
  }

  private func journalSocket() throws -> Int32 {
    let socket = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    try #require(socket >= 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: "/run/systemd/journal/socket".utf8) }
    let status = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    try #require(status == 0, "bind: errno \(errno)")
    return socket
  }

  /// The native protocol: `NAME=value` lines; a value with a newline as name, newline, 64-bit little-endian length, value.
  private func receive(from socket: Int32) throws -> [String: String] {
    var bytes = [UInt8](repeating: 0, count: 65_536)
    let count = recv(socket, &bytes, bytes.count, Int32(MSG_DONTWAIT))
    try #require(count > 0, "nothing was sent")
    var rest = bytes[..<count]
    var entry: [String: String] = [:]
    while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
      let line = rest[..<end]
      rest = rest[(end + 1)...]
      if let equals = line.firstIndex(of: UInt8(ascii: "=")) {
        entry[String(decoding: line[..<equals], as: UTF8.self)] = String(decoding: line[(equals + 1)...], as: UTF8.self)
      } else {
        let length = Int(rest.prefix(8).reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) })
        entry[String(decoding: line, as: UTF8.self)] = String(decoding: rest.dropFirst(8).prefix(length), as: UTF8.self)
        rest = rest.dropFirst(8 + length + 1)
      }
    }
    return entry
  }
}
