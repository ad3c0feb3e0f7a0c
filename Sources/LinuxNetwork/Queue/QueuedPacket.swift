/// A packet that waits in a kernel queue for a verdict. Its bytes are valid until the next `PacketQueue.receive`.
public struct QueuedPacket {
  /// Which queue it waits in.
  public let queue: UInt16
  /// The kernel's number for it; grows by one with each packet of the queue, modulo 2^32.
  public let id: UInt32
  /// From the first byte of the IP header on.
  public let bytes: UnsafeRawBufferPointer
  /// The packet is longer than what one netlink message can carry (65,531 bytes): `bytes` is its beginning.
  public let isTruncated: Bool
  /// Nobody has checked the TCP checksum yet. When false it was checked, or the packet never left this machine's memory and
  /// its checksum field is not even filled in (NFQA_SKB_CSUMNOTREADY): it must not be judged by it.
  public let isChecksumUnverified: Bool
}
