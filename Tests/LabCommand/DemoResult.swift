internal import Lab

/// What came of one download.
struct DemoResult {
  let curlStatus: Int32
  let curlSaid: String
  let size: Int
  let received: Int
  let crash: Topology.Crash
  /// Nanoseconds, of the file's growth since the crash.
  let stall: UInt64
  let throughput: Throughput
  /// Nanoseconds from the crash to the first data after it.
  let firstAfter: UInt64?
  let checksum: String
  let receivedChecksum: String
  let check: CaptureCheck
  let takeover: TakeoverSummary?

  /// A run without Holdfast must end in an error, or it was no crash.
  var failedAsExpected: Bool { curlStatus != 0 && received < size }

  /// FINs anywhere but at the end of what their side has sent.
  private var fins: Int { check.misplacedFins }

  /// What contradicts the promise; empty when nothing does.
  var problems: [String] {
    var problems = check.violations
    if curlStatus != 0 { problems.append("curl: exit status \(curlStatus): \(curlSaid.trimmed)") }
    if receivedChecksum != checksum { problems.append("the file is not the one that was served") }
    if fins > 0 { problems.append("\(fins) unexpected FIN") }
    if check.connections.count != 1 { problems.append("\(check.connections.count) connections instead of one") }
    if check.total(\.bytesFromService) <= size { problems.append("the capture lacks a part of the file") }
    if firstAfter == nil { problems.append("no data after the crash") }
    if let takeover {
      if takeover.restoredConnections != 1 { problems.append("\(takeover.restoredConnections) connections restored") }
      if takeover.lostConnections != 0 { problems.append("\(takeover.lostConnections) connections lost") }
    } else {
      problems.append("beta has logged no takeover")
    }
    return problems
  }

  func describe() {
    row("curl", curlStatus == 0 ? "exit status 0" : "exit status \(curlStatus): \(curlSaid.trimmed)")
    row("received", "\(megabytes(received)) of \(megabytes(size)) MiB")
    if let takeover {
      print("  timeline")
      row("  alpha cut off", "0 ms: links down, then SIGKILL to all its processes")
      row("  detected", "\(milliseconds(takeover.detected)) after alpha was last heard")
      row("  claimed", "+ \(milliseconds(takeover.claimed)): addresses held and announced")
      row(
        "  probed",
        takeover.probed > 0
          ? "+ \(milliseconds(takeover.probed)): the peer has said where it is"
          : "nothing was in flight, so the peer need not be asked")
      row("  restored", "+ \(milliseconds(takeover.restored)): the socket lives on beta")
      row("  released", "+ \(milliseconds(takeover.released)): packets flow")
    }
    if let firstAfter { row("  first byte", "\(milliseconds(Double(firstAfter) / 1e6)) after alpha was cut off") }
    if failedAsExpected { return }
    row("longest stall", "\(milliseconds(Double(stall) / 1e6)), as the client sees it")
    row("SHA-256 served", checksum)
    row("SHA-256 received", receivedChecksum)
    row(
      "capture",
      "\(check.packets) packets: RST \(check.resets), unexpected FIN \(fins), timestamps backwards "
        + "\(check.timestampsBackwards), differing bytes \(check.differingBytes)")
  }

  private func row(_ name: String, _ value: String) {
    print("  \(name)\(String(repeating: " ", count: max(1, 18 - name.count)))\(value)")
  }

  private func megabytes(_ count: Int) -> Int { count >> 20 }
  private func milliseconds(_ value: Double) -> String { "\((value * 10).rounded() / 10) ms" }
}

extension String {
  /// Without the line feed at its end.
  var trimmed: String { last == "\n" ? String(dropLast()) : self }
}
