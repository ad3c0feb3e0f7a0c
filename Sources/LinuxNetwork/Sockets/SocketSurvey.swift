internal import CLinux
internal import SystemCalls
public import TCPModel

/// What a live socket tells of itself while no packet of it passes, and without its application noticing: no TCP_REPAIR.
///
/// The application may read and write meanwhile: each number is one that was right at some moment of the look, and those that belong
/// together are of one moment.
public struct SocketSurvey: Sendable {
  public let flow: Flow
  public let info: TCPInfo
  /// Bytes from snd_una to write_seq; a queued FIN counts.
  public let unacknowledged: Int
  /// Bytes from snd_nxt to write_seq; a queued FIN counts.
  public let unsent: Int
  /// What the application has not read.
  public let unread: [UInt8]
  public let timestamp: TimestampClock
  public let options: SocketOptions

  /// - Throws: `UnsupportedSocket` when it is no connection any more, or does not stand still; `SystemCallError`.
  public init(_ socket: Int32) throws {
    flow = try SocketInspection.flow(socket).flow
    var found: (info: TCPInfo, unacknowledged: Int, unsent: Int)?
    for _ in 0..<Self.attempts where found == nil {
      let before = try TCPInfo(socket)
      let unacknowledged = try SocketQueues.unacknowledged(socket)
      let unsent = try SocketQueues.unsent(socket)
      let after = try TCPInfo(socket)
      // Neither was anything written, nor was an end of output asked for.
      guard try SocketQueues.unacknowledged(socket) == unacknowledged, before.state == after.state,
        before.bytesAcknowledged == after.bytesAcknowledged
      else { continue }
      found = (after, unacknowledged, unsent)
    }
    guard let found else { throw UnsupportedSocket("it does not stand still") }
    (info, unacknowledged, unsent) = found
    guard info.state != .close else { throw UnsupportedSocket("it has ended") }
    // Nothing arrives: what one look finds is all that has not been read.
    unread = try SocketQueues.peek(socket, count: try SocketQueues.unread(socket))
    // Read before the stamp: what comes between makes a restored clock a little fast, never slow.
    let now = MonotonicClock.now
    let stamp = UInt32(bitPattern: try SocketOption.timestamp.get(socket))
    let unit: TimestampUnit = !info.hasTimestamps ? .none : info.hasMicroseconds ? .microseconds : .milliseconds
    // Bit 0 is the unit, not time: a millisecond clock reads up to one low.
    timestamp = TimestampClock(value: unit == .milliseconds ? stamp &+ 1 : stamp, moment: now, unit: unit)
    options = SocketOptionsCopy.read(socket)
  }
  private static let attempts = 64
}
