internal import TCPModel

/// A flow as the key of a set: local address, local port, peer address, peer port, each in network order and padded to a multiple
/// of four bytes, as nf_tables concatenates (`ipv4_addr . inet_service . ipv4_addr . inet_service`).
enum FlowKey {
  /// Of either set's keys, bytes.
  static let sizes = (v4: 16, v6: 40)

  /// Writes the key, 16 or 40 bytes.
  static func write(_ flow: Flow, isIPv6: Bool, to key: UnsafeMutableRawPointer) {
    let half = isIPv6 ? sizes.v6 / 2 : sizes.v4 / 2
    write(flow.local, isIPv6, to: key)
    write(flow.peer, isIPv6, to: key + half)
  }

  static func bytes(_ flow: Flow, isIPv6: Bool) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: isIPv6 ? sizes.v6 : sizes.v4)
    bytes.withUnsafeMutableBytes { buffer in
      if let base = buffer.baseAddress { write(flow, isIPv6: isIPv6, to: base) }
    }
    return bytes
  }

  private static func write(_ end: Endpoint, _ isIPv6: Bool, to key: UnsafeMutableRawPointer) {
    var offset = 4
    if isIPv6 {
      key.storeBytes(of: end.address.high.bigEndian, as: UInt64.self)
      key.storeBytes(of: end.address.low.bigEndian, toByteOffset: 8, as: UInt64.self)
      offset = 16
    } else {
      key.storeBytes(of: UInt32(truncatingIfNeeded: end.address.high).bigEndian, as: UInt32.self)
    }
    key.storeBytes(of: end.port.bigEndian, toByteOffset: offset, as: UInt16.self)
    key.storeBytes(of: 0, toByteOffset: offset + 2, as: UInt16.self)
  }

  /// Reads a key; nil when it has another length.
  static func read(_ key: UnsafeRawBufferPointer) -> Flow? {
    switch key.count {
    case sizes.v4: Flow(local: v4(key, 0), peer: v4(key, sizes.v4 / 2))
    case sizes.v6: Flow(local: v6(key, 0), peer: v6(key, sizes.v6 / 2))
    default: nil
    }
  }

  private static func v4(_ key: UnsafeRawBufferPointer, _ at: Int) -> Endpoint {
    Endpoint(
      address: IPAddress(v4: UInt32(bigEndian: key.loadUnaligned(fromByteOffset: at, as: UInt32.self))),
      port: UInt16(bigEndian: key.loadUnaligned(fromByteOffset: at + 4, as: UInt16.self)))
  }

  private static func v6(_ key: UnsafeRawBufferPointer, _ at: Int) -> Endpoint {
    Endpoint(
      address: IPAddress(
        v6High: UInt64(bigEndian: key.loadUnaligned(fromByteOffset: at, as: UInt64.self)),
        low: UInt64(bigEndian: key.loadUnaligned(fromByteOffset: at + 8, as: UInt64.self))),
      port: UInt16(bigEndian: key.loadUnaligned(fromByteOffset: at + 16, as: UInt16.self)))
  }
}
