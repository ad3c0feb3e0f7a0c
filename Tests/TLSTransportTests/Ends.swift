import Glibc
import LinuxNetwork

@testable import TLSTransport

/// A host's identity that lives in memory.
func identity(validFrom start: Int = -60, for end: Int = 3600) throws -> TLSIdentity {
  let pair = try KeyGeneration.make(validFrom: start, for: end)
  return try TLSIdentity(certificate: pair.certificate, key: pair.key)
}

/// One direction of a connection: bytes on their way.
final class Wire {
  var bytes: [UInt8] = []
  var isEnded = false
  /// Most that a write takes.
  var room = Int.max
}

/// An end of a connection in memory, which takes and gives as little or as much as the test says.
final class MemoryTransport: ByteTransport {
  let incoming: Wire
  let outgoing: Wire
  private(set) var writes = 0
  var descriptor: Int32 { -1 }

  init(incoming: Wire, outgoing: Wire) {
    self.incoming = incoming
    self.outgoing = outgoing
  }

  static func pair() -> (MemoryTransport, MemoryTransport) {
    let there = Wire(), back = Wire()
    return (
      MemoryTransport(incoming: back, outgoing: there), MemoryTransport(incoming: there, outgoing: back)
    )
  }

  func read(into space: UnsafeMutableRawBufferPointer) throws -> Int? {
    guard !incoming.bytes.isEmpty else { return incoming.isEnded ? 0 : nil }
    let count = min(space.count, incoming.bytes.count)
    space.copyBytes(from: incoming.bytes[..<count])
    incoming.bytes.removeFirst(count)
    return count
  }

  func write(_ pieces: [UnsafeRawBufferPointer]) throws -> Int? {
    writes += 1
    var taken = 0
    for piece in pieces {
      let count = min(piece.count, outgoing.room - min(outgoing.room, outgoing.bytes.count))
      outgoing.bytes += piece[..<count]
      taken += count
      if count < piece.count { break }
    }
    return taken > 0 ? taken : nil
  }
}

extension ByteTransport {
  /// What there is to read.
  func readAll(room: Int = 1 << 17) throws -> [UInt8] {
    var all: [UInt8] = []
    var space = [UInt8](repeating: 0, count: room)
    while let count = try space.withUnsafeMutableBytes({ try read(into: $0) }), count > 0 { all += space[..<count] }
    return all
  }

  func write(_ pieces: [[UInt8]]) throws -> Int? {
    let memory = pieces.map { UnsafeMutableRawBufferPointer.allocate(byteCount: $0.count, alignment: 1) }
    defer { for piece in memory { piece.deallocate() } }
    for (piece, bytes) in zip(memory, pieces) { piece.copyBytes(from: bytes) }
    return try write(memory.map { UnsafeRawBufferPointer($0) })
  }
}

/// Both ends of a channel and the identities behind them.
struct Ends {
  let client: TLSStream
  let server: TLSStream
  let clientEnd: MemoryTransport
  let serverEnd: MemoryTransport

  init(
    client: TLSIdentity, server: TLSIdentity, clientPins: [Fingerprint]? = nil, serverPins: [Fingerprint]? = nil,
    recordsPerKey: Int = 1 << 23
  ) throws {
    (clientEnd, serverEnd) = MemoryTransport.pair()
    self.client = try TLSStream(
      clientEnd, .client, TLSContext(identity: client, peers: clientPins ?? [server.fingerprint]),
      recordsPerKey: recordsPerKey)
    self.server = try TLSStream(
      serverEnd, .server, TLSContext(identity: server, peers: serverPins ?? [client.fingerprint]),
      recordsPerKey: recordsPerKey)
  }

  /// Lets both ends say what they have to say for a handshake.
  func shakeHands() throws {
    let nothing: [[UInt8]] = []
    for _ in 0..<4 {
      _ = try client.write(nothing)
      _ = try server.readAll()
      _ = try client.readAll()
    }
  }
}
