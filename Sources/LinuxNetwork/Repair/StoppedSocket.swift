internal import CLinux
internal import Glibc
public import SystemCalls
public import TCPModel

/// A live socket that is held in repair mode, so that it neither sends nor takes anything, and what only it knows: the output
/// that has not left it, and how far it has taken input.
///
/// For a planned switchover: everything else is in the ledger. Meanwhile the application's calls fail.
public struct StoppedSocket: Sendable {
  /// The sequence number of the first byte of `output`, which the ledger has not seen leave or has seen last.
  public let sequence: SequenceNumber
  /// Everything from `sequence` to the last byte that the application has written.
  public let output: [UInt8]
  /// The application has ended its output; the FIN comes behind it.
  public let hasFinished: Bool
  /// rcv_nxt: the peer's bytes below it are the socket's, acknowledged or not.
  public let rcvNxt: SequenceNumber
  /// What the peer may send beyond `rcvNxt`, bytes.
  public let receiveWindow: UInt32
  private let reuseAddress: Int32

  /// Stops a socket.
  /// - Parameter sndNxt: where the ledger's output ends; bytes below it are left out.
  /// - Throws: `SystemCallError`; the socket then runs as before.
  public init(stopping socket: Int32, after sndNxt: SequenceNumber) throws(SystemCallError) {
    reuseAddress = try SocketOption.reuseAddress.get(socket)
    try SocketOption.repair.set(socket, Int32(HF_TCP_REPAIR_ON))
    do throws(SystemCallError) {
      let state = try TCPInfo(socket).state
      hasFinished = state.hasSentFin
      let window = try RepairSnapshot.repairWindow(socket)
      try SocketOption.repairQueue.set(socket, RepairSnapshot.Queue.receive.rawValue)
      rcvNxt = SequenceNumber(UInt32(bitPattern: try SocketOption.queueSequence.get(socket)))
      let edge = window.receiveWindowUpdate + Int(window.receiveWindow)
      receiveWindow = UInt32(clamping: edge.distance(from: rcvNxt))
      let outstanding = try SocketQueues.unacknowledged(socket)
      try SocketOption.repairQueue.set(socket, RepairSnapshot.Queue.send.rawValue)
      let writeSeq = SequenceNumber(UInt32(bitPattern: try SocketOption.queueSequence.get(socket)))
      let queue = try RepairSnapshot.peek(socket, count: outstanding - (hasFinished && outstanding > 0 ? 1 : 0))
      try SocketOption.repairQueue.set(socket, RepairSnapshot.Queue.none.rawValue)
      let first = writeSeq - outstanding
      let known = min(max(sndNxt.distance(from: first), 0), queue.count)
      sequence = first + known
      output = Array(queue[known...])
    } catch {
      RepairSnapshot.leave(socket, reuseAddress: reuseAddress)
      throw error
    }
  }

  /// Lets the socket go on as if nothing had been.
  public func resume(_ socket: Int32) { RepairSnapshot.leave(socket, reuseAddress: reuseAddress) }
}
