internal import ArgumentParser
internal import Glibc
internal import Holdfast
internal import SystemCalls

/// A file server whose downloads survive the host that serves them.
///
/// What it sends is a function of the request and of the offset alone: no date, no counter, no compression. So its twin on the
/// other host, which has the same files, can go on with any answer at any byte, given the request and how far the output was.
/// The request travels as the key of the registration, the offset is what the daemon knows as `sent`.
struct FileServer: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "holdfast-file-server",
    abstract: "Serves a folder over HTTP/1.1, and goes on with the other host's downloads after a failover.",
    discussion: """
      Run it on both hosts, on the same files. Without a daemon it serves all the same, unprotected.
      """)

  @Option(help: "The folder to serve.") var root: String
  @Option(help: "The port to listen on.") var port: UInt16
  @Option(help: "The name under which connections are registered and adopted.") var service = "files"
  @Option(help: "The address to listen on; it need not be on this host yet. Default: all.") var address: String?
  @Option(help: "The daemon's control socket. Default: $HOLDFAST_CONTROL, or \(HoldfastClient.defaultPath).")
  var control: String?
  @Flag(help: "Serve without asking for protection.") var unprotected = false

  func run() throws {
    signal(SIGPIPE, SIG_IGN)
    try ResourceLimits.raiseDescriptors()
    let variable = getenv("HOLDFAST_CONTROL").map { String(cString: $0) }
    let path = control ?? variable ?? HoldfastClient.defaultPath
    let protector = unprotected ? nil : Protector(path: path, service: service)
    let files = try FileTree(root: root)
    let listener = try Listener(address: address, port: port)
    if let protector { try startThread { Adopter(protector: protector, files: files).run() } }
    log("serving \(root) on port \(port)")
    while true {
      guard let socket = listener.accept() else { continue }
      Connection(socket, protector: protector, files: files).start()
    }
  }
}

FileServer.main()
