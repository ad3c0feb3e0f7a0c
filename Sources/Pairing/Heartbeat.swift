/// What a host of a pair tells the other all the time, on every path: that it lives, in which role and epoch, and whether a
/// standby follows it.
///
/// A heartbeat is one datagram, big-endian. The numbers are sizes in bytes:
/// magic `HFHB` (4), major and minor version (2 each), role, replication phase, preference and patience (1 each), epoch (8),
/// sequence (8), instance (8), node and pair as text (length 1, then UTF-8), echo (8), credential (length 2, then bytes),
/// conditions (1), authentication tag (32, all zero where the channel is plaintext).
///
/// A receiver skips what a newer minor version puts between conditions and tag. Minor version 1 has no conditions. Minor
/// version 0 has neither echo nor credential either.
public struct Heartbeat: Hashable, Sendable {
  /// The format's major version. A datagram of another one is refused.
  public static let majorVersion: UInt16 = 1
  /// The format's minor version. Each one only adds fields, so a datagram of any is read.
  public static let minorVersion: UInt16 = 2
  static let magic: UInt32 = 0x4846_4842
  static let tagCount = 32
  private static let unreachable: UInt8 = 1
  private static let tableMissing: UInt8 = 2

  /// What the sender is for the pair.
  public var role: Role
  /// What the sender, if it is active, knows of its standby.
  public var replication: ReplicationPhase
  /// The sender's configuration wants it active when both hosts start with nothing to continue.
  public var prefersActive: Bool
  /// The highest epoch that the sender was in or has heard of. Of two active hosts the one in the higher epoch stays. Below
  /// `Epoch.limit`.
  public var epoch: UInt64
  /// The heartbeat's number. It grows with every heartbeat of one instance.
  public var sequence: UInt64
  /// A random number, one for each start of the sender's daemon.
  public var instance: UInt64
  /// The sender's name, in UTF-8 at most 255 bytes; what is beyond is cut off.
  public var node: String
  /// The pair's name, in UTF-8 at most 255 bytes; what is beyond is cut off.
  public var pair: String
  /// Seconds for which the sender is about to be silent because its daemon starts anew, 0 when it is not.
  public var patience: UInt8 = 0
  /// The instance of the peer that the sender heard last, 0 for none. See `HeartbeatFilter`.
  public var echo: UInt64 = 0
  /// What the receiver needs to check the tag, at most 65 535 bytes: the sender's certificate. Empty where the channel is
  /// plaintext.
  public var credential: [UInt8] = []
  /// The sender says its conditions, `isUnreachable` and `isTableMissing`. It does since minor version 2.
  public private(set) var saysConditions = true
  /// Clients cannot reach the sender at the service addresses: a link of theirs is down, or no witness answers.
  public var isUnreachable = false
  /// The sender's packet table is not in force: packets could pass it unrecorded.
  public var isTableMissing = false

  /// A heartbeat without patience, echo, credential and conditions. Each parameter is the property of its name.
  public init(
    role: Role, replication: ReplicationPhase, prefersActive: Bool, epoch: UInt64, sequence: UInt64, instance: UInt64,
    node: String, pair: String
  ) {
    self.role = role
    self.replication = replication
    self.prefersActive = prefersActive
    self.epoch = epoch
    self.sequence = sequence
    self.instance = instance
    self.node = node
    self.pair = pair
  }

  /// The datagram, with a tag that is all zero: whoever has the key writes the tag over the last 32 bytes.
  public var encoded: [UInt8] {
    var bytes: [UInt8] = []
    func append<Number: FixedWidthInteger>(_ number: Number) {
      withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
    }
    append(Self.magic)
    append(Self.majorVersion)
    append(Self.minorVersion)
    bytes += [role.rawValue, replication.rawValue, prefersActive ? 1 : 0, patience]
    append(epoch)
    append(sequence)
    append(instance)
    for text in [node, pair] {
      let utf8 = Array(text.utf8.prefix(255))
      bytes.append(UInt8(utf8.count))
      bytes += utf8
    }
    append(echo)
    append(UInt16(clamping: credential.count))
    bytes += credential.prefix(Int(UInt16.max))
    bytes.append((isUnreachable ? Self.unreachable : 0) | (isTableMissing ? Self.tableMissing : 0))
    return bytes + [UInt8](repeating: 0, count: Self.tagCount)
  }

  /// Reads a datagram, which may come from anyone. The tag is not checked here.
  /// - Throws: Why the datagram is not a heartbeat that can be understood.
  public init(decoding bytes: [UInt8]) throws(HeartbeatError) {
    var rest = bytes[...]
    func number<Number: FixedWidthInteger>(_: Number.Type) throws(HeartbeatError) -> Number {
      let count = MemoryLayout<Number>.size
      guard rest.count >= count else { throw .truncated }
      defer { rest = rest.dropFirst(count) }
      return rest.prefix(count).reduce(0) { $0 << 8 | Number(truncatingIfNeeded: $1) }
    }
    func text() throws(HeartbeatError) -> String {
      let count = Int(try number(UInt8.self))
      guard rest.count >= count else { throw .truncated }
      defer { rest = rest.dropFirst(count) }
      return String(decoding: rest.prefix(count), as: UTF8.self)
    }
    guard try number(UInt32.self) == Self.magic else { throw .notHoldfast }
    let major = try number(UInt16.self)
    guard major == Self.majorVersion else { throw .otherMajorVersion(major) }
    let minor = try number(UInt16.self)
    guard let role = Role(rawValue: try number(UInt8.self)),
      let replication = ReplicationPhase(rawValue: try number(UInt8.self))
    else { throw .malformed }
    self.role = role
    self.replication = replication
    prefersActive = try number(UInt8.self) & 1 != 0
    patience = try number(UInt8.self)
    epoch = try number(UInt64.self)
    guard epoch < Epoch.limit else { throw .malformed }
    sequence = try number(UInt64.self)
    instance = try number(UInt64.self)
    node = try text()
    pair = try text()
    if minor >= 1 {
      echo = try number(UInt64.self)
      let count = Int(try number(UInt16.self))
      guard rest.count >= count else { throw .truncated }
      credential = Array(rest.prefix(count))
      rest = rest.dropFirst(count)
    }
    saysConditions = minor >= 2
    if saysConditions {
      let conditions = try number(UInt8.self)
      isUnreachable = conditions & Self.unreachable != 0
      isTableMissing = conditions & Self.tableMissing != 0
    }
    guard rest.count >= Self.tagCount else { throw .truncated }
  }
}

/// Why a datagram is not a heartbeat that can be understood.
public enum HeartbeatError: Error, Hashable, Sendable {
  /// The datagram ends before its last field.
  case truncated
  /// The datagram does not begin with the magic number.
  case notHoldfast
  /// The sender speaks another major version, which is this one.
  case otherMajorVersion(UInt16)
  /// A field has a value that it cannot have: a role or phase that is none, or an epoch from `Epoch.limit` on.
  case malformed
}
