internal import LinuxNetwork
internal import TCPModel

/// A protected connection on the host that owns it: its ledger, and the daemon's own descriptor for the socket.
///
/// The descriptor keeps the connection alive when the application dies, and lets the daemon read what no packet tells: how far
/// the application has read, and its socket options.
final class LiveConnection {
  let ledger: Ledger
  let socket: SharedDescriptor
  /// Stream position at which the standby holds the baseline; nil while no standby was told.
  var baselinePosition: UInt64?
  /// Whose connection it is, for `GetStatus` and when the process ends.
  var owner: Int32
  /// rcv_nxt and the kernel's byte counter at one moment: the counter's growth gives rcv_nxt at any later one.
  private let countingFrom: (rcvNxt: SequenceNumber, bytesReceived: UInt64)

  var hangup: IOSource?
  /// Nanoseconds between samples; doubles while the application does not read.
  var sampleInterval = Sampler.shortest
  var isSampling = false
  /// The application said that it is done; the connection is watched until both sides have closed.
  var isClosing = false

  init(ledger: Ledger, socket: SharedDescriptor, rcvNxt: SequenceNumber, owner: Int32) throws(SystemCallError) {
    self.ledger = ledger
    self.owner = owner
    countingFrom = (rcvNxt, try TCPInfo(socket.number).bytesReceived)
    self.socket = socket
  }

  var id: UInt64 { ledger.identity.id }

  /// A lower bound of copied_seq: what the application has read for certain.
  ///
  /// The two reads are not one moment, so rcv_nxt is read first: input that arrives in between makes the result too low, never
  /// too high, and a sample that is too low only keeps bytes a little longer.
  func sampleConsumed() throws(SystemCallError) -> SequenceNumber {
    let info = try TCPInfo(socket.number)
    let unread = try SocketQueues.unread(socket.number)
    let received = Int(truncatingIfNeeded: info.bytesReceived &- countingFrom.bytesReceived)
    return countingFrom.rcvNxt + (received - (info.state.hasReceivedFin ? 1 : 0) - unread)
  }
}

/// A descriptor that several owners may refer to; closed when the last of them lets go.
final class SharedDescriptor {
  private let descriptor: Descriptor

  init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }

  var number: Int32 { descriptor.number }
  func duplicate() throws(SystemCallError) -> Descriptor { try descriptor.duplicate() }
}
