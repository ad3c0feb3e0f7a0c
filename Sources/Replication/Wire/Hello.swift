/// The first frame in both directions.
///
/// Magic `HFST`, major and minor version, then what is fixed for the version; bytes that a newer minor version appends are
/// skipped.
public struct Hello: Hashable, Sendable {
  /// A peer of another major version is refused.
  public static let majorVersion: UInt16 = 1
  public static let minorVersion: UInt16 = 1
  static let magic: UInt32 = 0x4846_5354
  /// Epochs and positions end here: nothing that is added to them overflows.
  private static let numberLimit: UInt64 = 1 << 62

  public var node: String
  public var pair: String
  /// Random, one for each start of a daemon.
  public var instance: UInt64
  public var epoch: UInt64
  /// Sent by the active host: its stream continues at this position.
  public var position: UInt64
  /// The kernel can give a restored socket µs timestamps (Linux 6.7).
  public var supportsMicroseconds: Bool

  public init(
    node: String, pair: String, instance: UInt64, epoch: UInt64, position: UInt64, supportsMicroseconds: Bool
  ) {
    self.node = node
    self.pair = pair
    self.instance = instance
    self.epoch = epoch
    self.position = position
    self.supportsMicroseconds = supportsMicroseconds
  }

  public var encoded: [UInt8] {
    var writer = WireWriter()
    writer.number(Self.magic)
    writer.number(Self.majorVersion)
    writer.number(Self.minorVersion)
    writer.number(instance)
    writer.number(epoch)
    writer.number(position)
    writer.flag(supportsMicroseconds)
    writer.text(node)
    writer.text(pair)
    return writer.bytes
  }

  public init(_ frame: Frame) throws(ProtocolError) {
    guard frame.type == FrameType.hello.rawValue, frame.body.count >= 8 else { throw .notHoldfast }
    var reader = WireReader(frame.body, of: .hello)
    guard try reader.number(UInt32.self) == Self.magic else { throw .notHoldfast }
    let major = try reader.number(UInt16.self)
    guard major == Self.majorVersion else { throw .otherMajorVersion(major) }
    _ = try reader.number(UInt16.self)
    instance = try reader.number()
    epoch = try reader.number()
    position = try reader.number()
    guard epoch < Self.numberLimit, position < Self.numberLimit else { throw .malformed(.hello) }
    supportsMicroseconds = try reader.flag()
    node = try reader.text()
    pair = try reader.text()
    guard node.utf8.count <= 255, pair.utf8.count <= 255 else { throw .malformed(.hello) }
  }
}
