import Glibc
import SystemCalls
import SystemPackage
import Testing

@Suite struct UnixListenerTests {
  @Test func theFileHasTheModeAndGoesWithTheListener() throws {
    let path = temporaryPath()
    var listener: UnixListener? = try UnixListener(path: path, mode: 0o620, group: "\(getgid())")
    var status = stat()
    #expect(lstat(path, &status) == 0)
    #expect(status.st_mode & 0o777 == 0o620)
    #expect(status.st_gid == getgid())
    listener = nil
    #expect(listener == nil && lstat(path, &status) == -1)
  }

  @Test func aDeadDaemonsSocketIsReplaced() throws {
    let path = temporaryPath()
    let socket = Descriptor(owning: Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0))
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let bound = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(socket.number, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    try #require(bound == 0)
    // Bound and not listening is what a closed one leaves: a connect is refused.
    let listener = try UnixListener(path: path, mode: 0o600)
    let client = try UnixSocket.connect(to: path)
    #expect(try listener.accept() != nil)
    #expect(try listener.accept() == nil)
    withExtendedLifetime(client.number) {}
  }

  @Test func aLiveDaemonsSocketIsLeftAloneAndTheErrorSaysSo() throws {
    let path = temporaryPath()
    let first = try UnixListener(path: path, mode: 0o600)
    #expect(throws: UnixListenerError.inUse(path: path)) { try UnixListener(path: path, mode: 0o600) }
    _ = try UnixSocket.connect(to: path)
    #expect(try first.accept() != nil)
  }

  @Test func anotherFileIsNotRemoved() throws {
    let path = temporaryPath()
    let number = open(path, O_CREAT | O_WRONLY, 0o600)
    close(number)
    defer { unlink(path) }
    #expect(throws: UnixListenerError.notASocket(path: path)) { try UnixListener(path: path, mode: 0o600) }
    #expect(access(path, F_OK) == 0)
  }

  @Test func wrongGroupsAndPathsThatAreTooLongAreErrors() throws {
    #expect(throws: UnixListenerError.noSuchGroup("no-such-group-here")) {
      try UnixListener(path: temporaryPath(), mode: 0o600, group: "no-such-group-here")
    }
    let long = "/tmp/" + String(repeating: "x", count: 108)
    #expect(throws: UnixListenerError.self) { try UnixListener(path: long, mode: 0o600) }
  }

  @Test func credentialsAreTheClients() throws {
    let path = temporaryPath()
    let listener = try UnixListener(path: path, mode: 0o600)
    let client = try UnixSocket.connect(to: path)
    guard let accepted = try listener.accept() else { throw SystemCallError("accept", errno: .wouldBlock) }
    #expect(
      try PeerCredentials(of: accepted.number) == PeerCredentials(process: getpid(), user: getuid(), group: getgid()))
    withExtendedLifetime(client.number) {}
  }
}
