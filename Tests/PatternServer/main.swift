internal import ArgumentParser
internal import Glibc
internal import Lab
internal import Synchronization
internal import SystemCalls

/// Set by SIGTERM and SIGINT.
private let ended = Atomic<Bool>(false)

struct PatternServer: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pattern-server",
    abstract: "Serves streams whose every byte is known, and goes on with them after a failover.",
    discussion: """
      Listens on PORT (download), PORT+1 (upload), PORT+2 (both), PORT+3 (pingpong) and PORT+4 (idle), IPv4 and IPv6. \
      Prints a line for each connection that ends; the exit status is 1 when a byte was wrong.
      """)

  @Option(help: "The first port.") var port: UInt16 = 7000
  @Option(help: "The daemon's control socket; without it connections are not registered.") var control: String?
  @Option(help: "The service under which connections are registered and adopted.") var service = "pattern"
  @Option(help: "Where the connections' timestamps go on, if that lies ahead of where they are.")
  var timestamp: UInt32?
  @Flag(help: "Has adopted connections' timestamps go back: what a failover that forgot them would do.")
  var staleTimestamps = false

  @Option(help: "SO_MARK of the connections that are accepted, set when they have been registered.") var mark: UInt32?
  @Flag(help: "Each connection begins with the PROXY protocol's header, version 2.") var proxyHeader = false

  func run() throws {
    try ResourceLimits.raiseDescriptors()
    for number in [SIGTERM, SIGINT] { signal(number) { _ in ended.store(true, ordering: .relaxed) } }
    let server = try Server(
      Server.Options(
        port: port, control: control, service: service, timestamp: timestamp, staleTimestamps: staleTimestamps,
        proxyHeader: proxyHeader, mark: mark))
    try server.run { ended.load(ordering: .relaxed) }
    if server.mismatches > 0 { throw ExitCode(1) }
  }
}

PatternServer.main()
