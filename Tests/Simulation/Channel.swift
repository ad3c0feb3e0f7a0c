import Modelling
import Pairing
import TCPModel
import Replication

/// A connection of the replication channel, as TCP carries it: in order, whole, late, and silent when the other host is gone.
final class Session {
  let number: Int
  /// The nodes at its ends, the active one first; nil when that end has closed.
  var ends: [Node?]
  /// Whose stream it carries; its end may close before the other one has read it.
  let server: Node
  var incoming: [IncomingBox] = [IncomingBox(), IncomingBox()]
  /// Bytes on their way to each end.
  var queues: [[[UInt8]]] = [[], []]
  var isMoving = [false, false]

  init(_ number: Int, server: Node, client: Node) {
    self.number = number
    ends = [server, client]
    self.server = server
  }
}

final class IncomingBox {
  var stream = IncomingStream(capacity: 1 << 14)
  var isGreeted = false
  /// For the sabotage that acknowledges before it folds.
  var late: [[UInt8]] = []
}

extension OutgoingStream {
  /// Everything that is due.
  mutating func takeAll() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(unsentCount)
    var pieces: [UnsafeRawBufferPointer] = []
    while unsentCount > 0 {
      self.pieces(into: &pieces)
      let before = bytes.count
      for piece in pieces { bytes.append(contentsOf: piece) }
      consume(bytes.count - before)
    }
    return bytes
  }
}
