/// What a ledger lacks that was begun in the middle of a connection, from what a live socket tells without being disturbed
/// (TCP_INFO, its queues' lengths, MSG_PEEK; never TCP_REPAIR): by a daemon whose predecessor has crashed, or after packets may
/// have passed that nobody recorded.
///
/// It closes by itself: output that was under way is acknowledged, one packet each way tells windows and clocks, and the
/// application says again how far it is. Until then the connection goes on, and no other host could go on with it.
public struct LedgerGap: Hashable, Codable, Sendable {
  /// Why a ledger was begun anew.
  public enum Cause: String, Hashable, Codable, Sendable {
    case daemonCrash
    /// Packets passed, or may have passed, beside the packet table.
    case unrecordedPackets

    /// What has happened, as the beginning of a sentence.
    var text: String {
      switch self {
      case .daemonCrash: "the daemon has crashed"
      case .unrecordedPackets: "packets may have passed unrecorded"
      }
    }
  }

  /// snd_nxt when the ledger was begun: what is under way below it is in the socket alone.
  public let output: SequenceNumber
  /// Stream offset of the first byte of input that the ledger has. What the application has read and not confirmed before it is gone.
  public let input: Int64
  /// No packet of the peer has acknowledged everything below `output`, and said how large its window is.
  public private(set) var needsIngress = true
  /// No packet has said how much the peer may send.
  public private(set) var needsEgress = true
  /// The application may not have confirmed input before `input`.
  public private(set) var needsConfirmation: Bool
  /// The application had made checkpoints, and they are gone.
  public private(set) var needsCheckpoint: Bool
  /// nil: `daemonCrash`, as a daemon of an earlier release leaves it.
  private let cause: Cause?

  public init(
    output: SequenceNumber, input: Int64, needsConfirmation: Bool, needsCheckpoint: Bool, cause: Cause = .daemonCrash
  ) {
    self.cause = cause
    self.output = output
    self.input = input
    self.needsConfirmation = needsConfirmation
    self.needsCheckpoint = needsCheckpoint
  }

  public var isClosed: Bool { !needsIngress && !needsEgress && !needsConfirmation && !needsCheckpoint }
  /// A process that goes on with the connection could not be given what it needs, not even on this host.
  public var losesInput: Bool { needsConfirmation || needsCheckpoint }

  /// What is missing, and what to do about it.
  public var reason: String {
    let what = (cause ?? .daemonCrash).text
    if needsCheckpoint {
      return "\(what), and the application's checkpoint is of no use any more: make one at \(input) or later"
    }
    if needsConfirmation {
      return "\(what), and input that was not confirmed is gone: confirm \(input) or more"
    }
    return "\(what), and what was under way then is not acknowledged yet"
  }

  mutating func acknowledge(_ acknowledgement: SequenceNumber) {
    if !acknowledgement.isBefore(output) { needsIngress = false }
  }

  mutating func leave() { needsEgress = false }

  mutating func confirm(_ offset: Int64) {
    if offset >= input { needsConfirmation = false }
  }

  /// - Returns: whether the checkpoint is of use: one that needs input which is gone is not.
  mutating func take(_ checkpoint: Checkpoint) -> Bool {
    guard let consumed = checkpoint.consumed else {
      needsCheckpoint = false
      return true
    }
    guard consumed >= input else { return false }
    needsCheckpoint = false
    needsConfirmation = false
    return true
  }
}
