internal import Glibc

/// A running `tcpdump`.
public final class PacketCapture {
  public let path: String
  /// Bytes of a file that holds no packet yet.
  public static let emptySize = 24
  private let process: LabProcess

  /// Starts to capture on an interface of a namespace, and returns when packets are really being kept.
  /// - Parameters:
  ///   - bytes: how much of each frame to keep; 0 for all. The headers alone (128) cost little under bulk traffic.
  ///   - filter: as in pcap-filter(7).
  public init(in namespace: Namespace, interface: String, bytes: Int = 0, filter: String = "tcp", path: String? = nil)
    throws
  {
    let path = try path ?? (Scratch.subfolder("capture") + "/\(interface).pcap")
    self.path = path
    process = try LabProcess.start(
      "tcpdump",
      [
        "-i", interface, "-n", "-U", "-Z", "root", "--immediate-mode", "-B", "131072", "-s", "\(bytes)", "-w", path,
        filter,
      ], in: namespace)
    let process = process
    // tcpdump says so when the socket is bound, and writes the file's header after that.
    try wait(for: "tcpdump to capture: \(process.standardError)", until: .seconds(20)) {
      guard process.isRunning else { throw LabError("tcpdump ended: \(process.standardError)") }
      return process.standardError.contains("listening on") && Files.size(path) >= Self.emptySize
    }
  }

  /// Ends the capture when the packets that are on their way have been written, and opens its file. A capture that lost
  /// packets proves nothing, so that is an error.
  public func stop() throws -> CaptureFile {
    process.signal(SIGINT)
    let status = try process.wait(until: .seconds(30))
    let said = process.standardError
    guard status == 0 else { throw LabError("tcpdump: exit status \(status): \(said)") }
    if let line = said.split(separator: "\n").first(where: { $0.contains("dropped by kernel") }),
      !line.hasPrefix("0 ")
    {
      throw LabError("the capture is not complete: \(line)")
    }
    return try CaptureFile(path: path)
  }

  /// Ends the capture; the first packets that it holds, as tcpdump(8) shows them with their times and link addresses.
  public func packetsSeen(atMost count: Int = 20) throws -> [String] {
    _ = try stop()
    let lines = try Tool.run("tcpdump", ["-n", "-e", "-tt", "-r", path, "-c", "\(count)"])
    return lines.split(separator: "\n").map(String.init)
  }
}
