import Glibc
@testable import HostConfiguration
import LinuxNetwork
import Testing

@testable import HoldfastDaemon

/// What a running daemon has written down is read as it was written; whatever else lies in its place is refused with the reason.
@Suite struct RuntimeStateTests {
  private static let text = """
    [node]
    name = "alpha"
    control = "/run/holdfast/c.sock"
    [[pair]]
    name = "web"
    addresses = ["10.77.0.100/24 dev eth0", "fd77::100/64 dev eth0"]
    prefer = "active"
    [pair.replication]
    local = "10.78.0.1:7411"
    peer = "10.78.0.2:7411"
    security = "none"
    [pair.heartbeat]
    paths = [{ local = "10.78.0.1:7412", peer = "10.78.0.2:7412" }]
    """

  /// A state as a daemon writes it, in a folder of the test's own.
  private func withState(_ body: (RuntimeState, RuntimeStateFile) throws -> Void) throws {
    var template = Array("/tmp/holdfast-state-XXXXXX\0".utf8.map { CChar(bitPattern: $0) })
    let folder = try #require(mkdtemp(&template).map { String(cString: $0) })
    let file = RuntimeStateFile(path: "\(folder)/control.sock.holdfastd.state")
    let configuration = "\(folder)/holdfastd.toml"
    defer {
      for path in [file.path, "\(folder)/link", "\(folder)/.new", file.path + ".new", configuration] { unlink(path) }
      rmdir(folder)
    }
    try write(Array(Self.text.utf8), to: configuration)
    try body(RuntimeState(network: "4:77", ConfigurationInForce(path: configuration)), file)
  }

  private func write(_ bytes: [UInt8], to path: String, mode: mode_t = 0o600) throws {
    unlink(path)
    let stream = try #require(fopen(path, "w"))
    #expect(fwrite(bytes, 1, bytes.count, stream) == bytes.count)
    fclose(stream)
    chmod(path, mode)
  }

  private func reason(_ file: RuntimeStateFile) -> String {
    do throws(RuntimeStateFile.Unreadable) {
      _ = try file.read()
      return "it was read"
    } catch {
      return "\(error)"
    }
  }

  @Test func itIsReadAsItWasWritten() throws {
    try withState { state, file in
      #expect(state.control == "/run/holdfast/c.sock" && state.text == Self.text)
      #expect(state.pairs.map(\.name) == ["web"])
      #expect(state.addresses.map { "\($0)" } == ["10.77.0.100/24 dev eth0", "fd77::100/64 dev eth0"])
      try file.write(state)
      #expect(try file.read() == state)
      var status = stat()
      #expect(stat(file.path, &status) == 0 && status.st_mode & 0o7777 == 0o600)
      #expect(access(file.path + ".new", F_OK) != 0)
      // In the place of the one before.
      var other = state
      other.pairs = []
      try file.write(other)
      #expect(try file.read() == other)
      file.remove()
      do throws(RuntimeStateFile.Unreadable) {
        _ = try file.read()
        Issue.record("it was read")
      } catch {
        #expect(error.isMissing)
      }
    }
  }

  @Test func whatIsNotWhatADaemonWritesIsRefused() throws {
    try withState { state, _ in
      let text = String(decoding: try state.encoded, as: UTF8.self)
      for (old, new, reason) in [
        ("\"version\":1", "\"version\":2", "it has form 2, and this release reads 1"),
        ("\"version\":1", "\"version\":\"1\"", "it is damaged"),
        ("10.77.0.100/24 dev eth0\",", "10.77.0.100/33 dev eth0\",", "it is damaged"),
        ("10.77.0.100/24 dev eth0\",", "10.77.0.100/24 dev ../../x\",", "it is damaged"),
        ("\"control\":\"/run", "\"control\":\"run", "cannot be the path of a control socket"),
        ("\"control\":\"/run", "\"control\":\"/\\u0000run", "cannot be the path of a control socket"),
        ("\"control\":\"/run", "\"control\":\"/\(String(repeating: "x", count: 200))", "cannot be the path"),
        ("\"pairs\":[", "\"pairs\":[null,", "it is damaged"),
      ] {
        #expect(throws: RuntimeState.Unusable.self) {
          do { _ = try RuntimeState(decoding: Array(text.replacing(old, with: new, maxReplacements: 1).utf8)) } catch {
            #expect("\(error)".contains(reason), "\(error)")
            throw error
          }
        }
      }
      for bytes in [[], [0], Array("[]".utf8), Array("{}".utf8), Array(repeating: UInt8(ascii: "["), count: 200_000)] {
        #expect(throws: RuntimeState.Unusable.self) { _ = try RuntimeState(decoding: bytes) }
      }
    }
  }

  /// Cut off anywhere, or with any byte changed: an error or another state, and never the end of the process.
  @Test func noBytesEndTheReader() throws {
    try withState { state, _ in
      let bytes = try state.encoded
      for count in 0..<bytes.count { _ = try? RuntimeState(decoding: Array(bytes[..<count])) }
      for place in bytes.indices {
        for value: UInt8 in [0, 0x22, 0x5c, 0x7b, 0x80, 0xff] {
          var changed = bytes
          changed[place] = value
          _ = try? RuntimeState(decoding: changed)
        }
      }
    }
  }

  @Test func aFileThatAnybodyCouldHaveWrittenIsRefused() throws {
    try withState { state, file in
      let bytes = try state.encoded
      try write(bytes, to: file.path, mode: 0o620)
      #expect(reason(file).contains("others than its owner may write to it"))
      try write(bytes, to: file.path)
      #expect(try file.read() == state)
      let link = RuntimeStateFile(path: RuntimeStateFile.folder(of: file.path) + "/link")
      #expect(symlink(file.path, link.path) == 0)
      #expect(reason(link).contains("open"))
      unlink(link.path)
      // Nobody waits for a writer.
      #expect(mkfifo(link.path, 0o600) == 0)
      #expect(reason(link).contains("not a regular file"))
      if getuid() == 0 {
        #expect(chown(file.path, 4711, 4711) == 0)
        #expect(reason(file).contains("belongs to user 4711"))
        // Unless the folder is that user's, as the service's runtime directory is.
        #expect(chown(RuntimeStateFile.folder(of: file.path), 4711, 4711) == 0)
        #expect(try file.read() == state)
      }
    }
  }

  @Test func aFileWithoutEndIsNotReadToItsEnd() throws {
    try withState { _, file in
      try write([], to: file.path)
      #expect(truncate(file.path, 1 << 40) == 0)
      #expect(reason(file).contains("longer than"))
    }
  }

  @Test func everyDaemonHasAFileOfItsOwn() {
    let files = ["/run/a.sock", "/run/b.sock", "/run/a.sock.d/a.sock"].map { RuntimeStateFile(control: $0) }
    #expect(Set(files).count == 3)
    #expect(files[0].path == "/run/a.sock.holdfastd.state")
    #expect(RuntimeStateFile.folder(of: "/x") == "/" && RuntimeStateFile.folder(of: "x") == ".")
  }

  @Test func whereItIsLookedFor() {
    #expect(RuntimeStates.folders(runtime: "/a", configuration: "/etc/h/x.toml") == ["/a"])
    #expect(RuntimeStates.folders(runtime: nil, configuration: "/etc/h/x.toml") == ["/run/holdfast", "/etc/h"])
    #expect(RuntimeStates.folders(runtime: nil, configuration: "/run/holdfast/x.toml") == ["/run/holdfast"])
  }
}
