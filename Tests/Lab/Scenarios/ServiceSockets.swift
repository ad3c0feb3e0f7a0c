/// A connection of the service as ss(8) shows it.
public struct ServiceSocket: Sendable {
  public let peer: String
  /// The line of `ss -tinoem` that follows the addresses, with a blank at either end.
  public let info: String

  /// A number behind a word: `mss:1448`.
  public func number(_ key: String) -> Int? {
    for word in info.split(separator: " ") where word.hasPrefix("\(key):") {
      return Int(word.dropFirst(key.count + 1).prefix { $0.isNumber })
    }
    return nil
  }

  /// Bytes of `skmem`: `rb` the receive buffer, `tb` the send buffer.
  public func memory(_ key: String) -> Int? {
    guard let start = info.firstRange(of: "skmem:(") else { return nil }
    for part in info[start.upperBound...].prefix(while: { $0 != ")" }).split(separator: ",") where part.hasPrefix(key) {
      return Int(part.dropFirst(key.count))
    }
    return nil
  }

  /// Both window scales, as `ss` writes them.
  public var scales: Substring? { info.split(separator: " ").first { $0.hasPrefix("wscale:") } }

  public var maximumSegment: Int { number("mss") ?? 0 }
}

extension ProtectedPair {
  /// The established connections of the service on a host, by their peers.
  public func sockets(on host: HostName, shape: Shape? = nil) throws -> [ServiceSocket] {
    let ports = shape.map { "sport = :\(ProtectedPair.port + $0.portOffset)" } ?? "sport >= :7000 and sport <= :7004"
    let lines = try Tool.run("ss", ["-HOtinom", "state", "established", "( \(ports) )"], in: self[host].namespace)
    return lines.split(separator: "\n").compactMap { line in
      let words = line.split(separator: " ")
      guard words.count > 3 else { return nil }
      return ServiceSocket(peer: String(words[3]), info: " " + words.dropFirst(4).joined(separator: " ") + " ")
    }.sorted { $0.peer < $1.peer }
  }

  /// Waits until so many sockets run the timer, as ss(8) names it: `persist`, `on`. On the client's host if none is named.
  public func waitForTimer(_ timer: String, on host: HostName?, connections: Int) throws {
    let namespace = host.map { self[$0].namespace } ?? topology.client
    var last = ""
    try wait(for: "\(connections) \(timer) timers: \(last)", until: .seconds(30), every: 20) {
      last = try Tool.run("ss", ["-Htino", "state", "established"], in: namespace)
      return last.split(separator: "timer:(\(timer)", omittingEmptySubsequences: false).count > connections
    }
  }
}
