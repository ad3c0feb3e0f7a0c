internal import Lab
internal import TCPModel

/// A connection whose client the PROXY protocol, version 2, will name (haproxy's doc/proxy-protocol.txt, 2.2): the streams follow
/// from the client's port, and the server's peer is the proxy.
final class Announcement {
  let socket: TCPSocket
  let local: Endpoint
  private var bytes: [UInt8] = []

  init(_ socket: TCPSocket, local: Endpoint) {
    self.socket = socket
    self.local = local
  }

  private static let fixedLength = 16

  private var needed: Int {
    guard bytes.count >= Self.fixedLength else { return Self.fixedLength }
    return Self.fixedLength + Int(bytes[14]) << 8 + Int(bytes[15])
  }

  /// Reads the header and not a byte more; nil while it is not complete.
  func client() throws -> Endpoint? {
    while bytes.count < needed {
      var piece = [UInt8](repeating: 0, count: needed - bytes.count)
      guard let count = try piece.withUnsafeMutableBytes({ try socket.read(into: $0) }) else { return nil }
      guard count > 0 else { throw LabError("the stream ended in the PROXY header") }
      bytes += piece[..<count]
    }
    func number(_ range: Range<Int>) -> UInt64 { bytes[range].reduce(0) { $0 << 8 | UInt64($1) } }
    switch (bytes[12], bytes[13], bytes.count) {
    case (0x21, 0x11, 28...):
      return Endpoint(address: IPAddress(v4: UInt32(number(16..<20))), port: UInt16(number(24..<26)))
    case (0x21, 0x21, 52...):
      return Endpoint(
        address: IPAddress(v6High: number(16..<24), low: number(24..<32)), port: UInt16(number(48..<50)))
    default: throw LabError("no PROXY header: \(bytes)")
    }
  }
}
