import Glibc
import Lab
import TCPModel
import Testing

/// The client libraries do the same: one script, executed by each of them against real daemons, through a failover.
@Suite(.serialized)
struct ConformanceTests {
  private static let port: UInt16 = 7300
  private let input = Pattern(seed: 31)
  private let output = Pattern(seed: 32)

  private func text(_ bytes: [UInt8]) -> String { bytes.map { hex($0) }.joined() }

  @Test(arguments: ClientLibrary.allCases)
  func aLibraryKeepsTheContractThroughAFailover(_ library: ClientLibrary) async throws {
    let topology = try Topology()
    let alpha = try DaemonHost(.alpha, in: topology)
    let beta = try DaemonHost(.beta, in: topology)
    try alpha.start()
    try beta.start()
    try alpha.waitUntil(role: "active", replication: "synced")
    let first = try library.driver(on: alpha)
    let second = try library.driver(on: beta)
    func peer() throws -> Stream {
      Stream(
        try topology.client.run { try TCPSocket.connect(to: try Endpoint(Addresses.service4, Self.port)) })
    }

    #expect(try await first.perform("listen \(Self.port)").hasPrefix("ok"))
    let kept = try peer()
    let registered = try await first.perform("accept a conf confirm a-key")
    #expect(registered.hasPrefix("ok 0"))

    // Both directions, and what counts.
    try kept.send(input.bytes(0..<1000))
    #expect(try await first.perform("read a 1000") == "ok \(text(input.bytes(0..<1000)))")
    #expect(
      try await first.perform("write a \(text(output.bytes(0..<500)))") == "ok consumed=1000 produced=500 skip=0")
    #expect(try kept.receive(500) == output.bytes(0..<500))
    #expect(try await first.perform("confirm a 400") == "ok consumed=1000 produced=500 skip=0")
    #expect(try await first.perform("checkpoint a 6f6e65").hasPrefix("ok"))

    // What is refused, and leaves the connection as it was.
    for (command, error) in [
      ("confirm a 5", "InvalidOffset"), ("confirm a 1001", "InvalidOffset"),
      ("raw-checkpoint a 1 999 500", "InvalidOffset"),
      ("raw-checkpoint a 1 1000 501", "InvalidOffset"), ("raw-checkpoint a 262145 1000 500", "LimitExceeded"),
      ("raw-checkpoint a 3000000 1000 500", "LimitExceeded"),
      ("again a conf", "AlreadyRegistered"), ("missing", "NoSuchConnection"),
    ] {
      #expect(try await first.perform(command) == "error io.holdfast.\(error)", "\(command)")
    }

    // Two that end here, each in its way.
    let reset = try peer()
    #expect(try await first.perform("accept b conf read -").hasPrefix("ok"))
    #expect(try await first.perform("end b reset").hasPrefix("ok"))
    try wait(for: "the reset", until: .seconds(20)) {
      do {
        _ = try reset.available()
        return false
      } catch { return true }
    }
    let closed = try peer()
    #expect(try await first.perform("accept c conf read -").hasPrefix("ok"))
    #expect(try await first.perform("write c 627965").hasPrefix("ok"))
    #expect(try await first.perform("end c close").hasPrefix("ok"))
    #expect(try closed.receive(3) == Array("bye".utf8))
    try closed.receiveEnd()
    try closed.socket.finishWriting()

    // More than the checkpoint knows of.
    try kept.send(input.bytes(1000..<1200))
    #expect(try await first.perform("read a 200") == "ok \(text(input.bytes(1000..<1200)))")
    #expect(try await first.perform("write a \(text(output.bytes(500..<600)))").hasPrefix("ok"))
    #expect(try kept.receive(100) == output.bytes(500..<600))
    try wait(for: "the standby to have it all", until: .seconds(20)) {
      let infos = try beta.connections()
      return infos.count == 1 && infos[0].sent == 600 && infos[0].received == 1200
    }

    try second.begin("adopt x conf")
    try topology.crash(.alpha)
    let id = registered.split(separator: " ")[1]
    #expect(try await second.answer() == "ok \(id) a-key 6f6e65 consumed=1000 produced=500 skip=100")

    // Input comes again from the checkpoint on; output is made again, and the peer gets what it lacks.
    #expect(try await second.perform("read x 200") == "ok \(text(input.bytes(1000..<1200)))")
    #expect(
      try await second.perform("write x \(text(output.bytes(500..<560)))") == "ok consumed=1200 produced=560 skip=40")
    #expect(
      try await second.perform("write x \(text(output.bytes(560..<700)))") == "ok consumed=1200 produced=700 skip=0")
    #expect(try kept.receive(100) == output.bytes(600..<700))
    #expect(try await second.perform("checkpoint x 74776f").hasPrefix("ok"))
    #expect(try await second.perform("rewind x 650") == "ok consumed=1200 produced=650 skip=50")
    #expect(
      try await second.perform("write x \(text(output.bytes(650..<710)))") == "ok consumed=1200 produced=710 skip=0")
    #expect(try kept.receive(10) == output.bytes(700..<710))
    #expect(try await second.perform("end x close").hasPrefix("ok"))
    try kept.receiveEnd()
    try kept.socket.finishWriting()
    try wait(for: "the end", until: .seconds(20)) { try beta.connections().isEmpty }
  }

  /// What is in the tree can be installed, and used from where it was installed.
  @Test func theCLibraryIsFoundByPkgConfig() throws {
    let folder = try Scratch.subfolder("c-client")
    let source = "\(ClientLibrary.sources)/c"
    try Tool.run("make", ["-C", source, "BUILD=\(folder)/build", "PREFIX=\(folder)/usr", "install"])
    let flags = try Tool.run(
      "env", ["PKG_CONFIG_PATH=\(folder)/usr/lib/pkgconfig", "pkg-config", "--cflags", "--libs", "holdfast"])
    try Files.write(
      "#include <holdfast.h>\nint main(void) { return holdfast_open(\"/nowhere\") != 0; }\n", to: "\(folder)/user.c")
    let arguments = flags.split(whereSeparator: \.isWhitespace).map(String.init)
    try Tool.run("cc", ["-o", "\(folder)/user", "\(folder)/user.c"] + arguments)
    try Tool.run("\(folder)/user", [])
  }

  @Test func thePythonModuleCanBeInstalledFromTheTree() throws {
    let folder = try Scratch.subfolder("python-client")
    // A copy: building leaves traces in the source.
    try Tool.run("cp", ["-r", "\(ClientLibrary.sources)/python", "\(folder)/source"])
    try Tool.run("python3", ["-m", "venv", "\(folder)/venv"])
    // Nothing may be needed from elsewhere.
    try Tool.run("\(folder)/venv/bin/python", ["-m", "pip", "install", "-q", "--no-index", "\(folder)/source"])
    let said = try Tool.run(
      "env", ["-C", "/", "\(folder)/venv/bin/python", "-c", "import holdfast; print(holdfast.__file__)"])
    #expect(said.contains("venv"))
  }
}
