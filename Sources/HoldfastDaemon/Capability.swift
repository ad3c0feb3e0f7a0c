internal import SystemPackage

/// The privileges without which nothing works (capabilities(7)).
enum Capability: String, CaseIterable {
  /// TCP_REPAIR, the packet table and its queues, addresses, SO_MARK of restored sockets.
  case netAdmin = "CAP_NET_ADMIN"
  /// Announcements and probes.
  case netRaw = "CAP_NET_RAW"

  /// Its bit in the masks of proc(5).
  private var bit: UInt64 {
    switch self {
    case .netAdmin: 1 << 12
    case .netRaw: 1 << 13
    }
  }

  /// Those that this process lacks.
  static var missing: [Capability] { status.map(missing(in:)) ?? [] }

  /// - Parameter status: the text of /proc/self/status. Without its line nothing is known to be missing, and the calls that
  ///   need a privilege will say so.
  static func missing(in status: String) -> [Capability] {
    let line = status.split(separator: "\n").first { $0.hasPrefix("CapEff:") }
    guard let text = line?.split(whereSeparator: \.isWhitespace).last, let mask = UInt64(text, radix: 16) else {
      return []
    }
    return allCases.filter { mask & $0.bit == 0 }
  }

  private static var status: String? {
    guard let file = try? FileDescriptor.open("/proc/self/status", .readOnly) else { return nil }
    defer { try? file.close() }
    var bytes = [UInt8](repeating: 0, count: 8192)
    guard let count = try? bytes.withUnsafeMutableBytes({ try file.read(into: $0) }) else { return nil }
    return String(decoding: bytes[..<count], as: UTF8.self)
  }
}
