internal import Glibc
internal import Lab
internal import TCPModel

/// The two runs of the demonstration: the same crash without and with Holdfast.
struct Demo {
  private let folder: String
  private let size: Int
  private let rate: Int
  private let checksum: String
  private static let port: UInt16 = 8080
  private static let file = "large.bin"

  /// Makes the file that is served.
  init(megabytes: Int, rate: Int) throws {
    folder = try Scratch.subfolder("www")
    let size = megabytes << 20
    self.size = size
    self.rate = rate
    let path = "\(folder)/\(Demo.file)"
    let pattern = Pattern(seed: UInt64(monotonicNow()))
    try Files.append(to: path) { write in
      for start in stride(from: 0, to: size, by: 1 << 20) {
        try write(pattern.bytes(UInt64(start)..<UInt64(min(start + 1 << 20, size))))
      }
    }
    checksum = try Demo.checksum(path)
  }

  static func checksum(_ path: String) throws -> String {
    String(try Tool.run("sha256sum", path).prefix(64))
  }

  /// A host's address moves to the other host when it dies, and nothing else.
  func control() throws -> DemoResult {
    let topology = try Topology()
    try topology.addServiceAddresses(to: .alpha)
    let servers = try HostName.allCases.map { try serve(on: topology[$0], control: nil) }
    return try download(in: topology) {
      try topology.addServiceAddresses(to: .beta)
      // As an announcement of the new owner would do.
      try topology.client.ip("neigh", "flush", "dev", "eth0")
      _ = servers
    } takeover: {
      nil
    }
  }

  func protected() throws -> DemoResult {
    let topology = try Topology()
    var options = DaemonHost.Options()
    options.security = .tls()
    let alpha = try DaemonHost(.alpha, in: topology, options: options)
    let beta = try DaemonHost(.beta, in: topology, options: options)
    try alpha.start()
    try beta.start()
    try alpha.waitUntil(role: "active", replication: "synced")
    let servers = try [alpha, beta].map { try serve(on: $0.namespace, control: $0.controlPath) }
    return try download(in: topology) {
      _ = servers
    } takeover: {
      try? wait(for: "the summary", until: .seconds(5)) { beta.takeover != nil }
      return beta.takeover
    }
  }

  private func serve(on namespace: Namespace, control: String?) throws -> LabProcess {
    let options = control.map { ["--control", $0] } ?? ["--unprotected"]
    let server = try LabProcess.start(
      Products.path(of: "holdfast-file-server"), ["--port", "\(Demo.port)", "--root", folder] + options, in: namespace)
    try wait(for: "the file server: \(server.standardError)", until: .seconds(20)) {
      guard server.isRunning else { throw LabError("the file server ended: \(server.standardError)") }
      return try Tool.run("ss", ["-Htln", "sport = :\(Demo.port)"], in: namespace).contains("LISTEN")
    }
    return server
  }

  /// Runs curl and cuts alpha off when it has two fifths of the file.
  private func download(
    in topology: Topology, afterCrash: () throws -> Void, takeover: () -> TakeoverSummary?
  ) throws -> DemoResult {
    let capture = try topology.capture()
    let target = try Scratch.subfolder("download") + "/\(Demo.file)"
    let url = "http://\(Addresses.service4):\(Demo.port)/\(Demo.file)"
    let curl = try LabProcess.start(
      "curl",
      // Without the speed limit curl would wait for ever in the control run: a client that only receives never finds out.
      [
        "--silent", "--show-error", "--fail", "--no-buffer", "--limit-rate", "\(rate)M", "--speed-limit", "1",
        "--speed-time", "5", "--output", target, url,
      ],
      in: topology.client)
    try wait(for: "curl to get two fifths of the file", until: .seconds(60), every: 1) {
      guard curl.isRunning else { throw LabError("curl ended before the crash: \(curl.standardError)") }
      return Files.size(target) >= size / 5 * 2
    }
    let crash = try topology.crash(.alpha)
    try afterCrash()
    var meter = StallMeter(now: crash.time)
    var reached = Files.size(target)
    // Nobody waits for ever: without Holdfast curl may have been left hanging.
    try? wait(for: "curl to end", until: .seconds(60), every: 1) {
      let now = Files.size(target)
      if now > reached { meter.progress(at: monotonicNow()) }
      reached = now
      return !curl.isRunning
    }
    if curl.isRunning { curl.kill() }
    let status = try curl.wait(until: .seconds(5))
    let summary = takeover()
    let wire = WireRecord(from: crash)
    let check = try CaptureCheck(
      capture.stop(), isService: { $0.port == Demo.port }, onServiceData: { wire.data(at: $0, count: $1) })
    return DemoResult(
      curlStatus: status, curlSaid: curl.standardError, size: size, received: Files.size(target), crash: crash,
      stall: meter.longest, throughput: wire.throughput, firstAfter: wire.firstAfter, checksum: checksum,
      receivedChecksum: try Demo.checksum(target), check: check, takeover: summary)
  }
}

/// When the service's data crossed the wire.
private final class WireRecord {
  private(set) var throughput: Throughput
  /// Nanoseconds from the crash to the first packet that the dead host cannot have sent.
  private(set) var firstAfter: UInt64?
  private let crash: UInt64
  private var started = false

  init(from crash: Topology.Crash) {
    self.crash = crash.wallTime
    throughput = Throughput(start: crash.wallTime)
  }

  func data(at time: UInt64, count: Int) {
    if !started {
      started = true
      throughput = Throughput(start: time)
    }
    throughput.add(count, at: time)
    // Alpha's links go down within a few milliseconds after the crash was begun; beta waits for the silence to be noticed.
    if firstAfter == nil, time > crash + 50_000_000 { firstAfter = time - crash }
  }
}
