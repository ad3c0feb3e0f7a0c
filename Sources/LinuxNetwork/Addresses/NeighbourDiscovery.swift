internal import TCPModel

/// Frames of neighbour discovery (RFC 4861).
enum NeighbourDiscovery {
  /// - Parameters:
  ///   - message: the ICMPv6 message, with zeros where its checksum goes.
  ///   - destination: a multicast address, 16 bytes.
  ///   - hardware: the link-layer address of the interface that sends.
  static func frame(
    _ message: [UInt8], from source: [UInt8], to destination: [UInt8], hardware: [UInt8]
  ) -> [UInt8] {
    var message = message
    let checksum = Checksum.of(source + destination + [0, 0, 0, UInt8(message.count), 0, 0, 0, 58] + message)
    message[2] = UInt8(truncatingIfNeeded: checksum >> 8)
    message[3] = UInt8(truncatingIfNeeded: checksum)
    // Hop limit 255 proves that the sender is on the link.
    let header: [UInt8] = [0x60, 0, 0, 0, 0, UInt8(message.count), 58, 255] + source + destination
    return [0x33, 0x33] + destination.suffix(4) + hardware + [0x86, 0xdd] + header + message
  }
}
