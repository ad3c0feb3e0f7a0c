internal import CLinux
internal import Glibc
internal import LinuxNetwork
internal import SystemCalls

/// A packet capture on disk: classic pcap (draft-ietf-opsawg-pcap), either byte order, microseconds or nanoseconds.
public final class CaptureFile {
  /// One captured frame.
  public struct Frame {
    /// Nanoseconds since 1970.
    public let time: UInt64
    /// From the IP header on, as many bytes as were kept.
    public let packet: UnsafeRawBufferPointer
    /// Bytes that the packet had on the wire, from the IP header on.
    public let wireCount: Int
    /// The link-layer source address, where the capture is of Ethernet; 0 elsewhere.
    public let linkSource: UInt64
  }

  private let bytes: UnsafeRawBufferPointer
  private let mapped: Bool
  private let path: String
  private let swapped: Bool
  private let nanoseconds: Bool
  private let linkType: UInt32

  /// Maps the file at `path`.
  public convenience init(path: String) throws {
    let size = Files.size(path)
    guard size > 0 else { throw LabError("\(path): no capture") }
    let file = Descriptor(owning: try systemCall("open", on: path) { hf_open(path, O_RDONLY | O_CLOEXEC, 0) })
    guard let start = mmap(nil, size, PROT_READ, MAP_PRIVATE, file.number, 0), start != MAP_FAILED else {
      throw LabError("mmap of \(path) failed")
    }
    try self.init(UnsafeRawBufferPointer(start: start, count: size), mapped: true, path: path)
  }

  /// Reads a capture that is in memory, which must outlive the value.
  public convenience init(bytes: UnsafeRawBufferPointer) throws {
    try self.init(bytes, mapped: false, path: "capture in memory")
  }

  private init(_ bytes: UnsafeRawBufferPointer, mapped: Bool, path: String) throws {
    self.bytes = bytes
    self.mapped = mapped
    self.path = path
    let magic = bytes.count >= 24 ? bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self) : 0
    switch magic {
    case 0xa1b2_c3d4: (swapped, nanoseconds) = (false, false)
    case 0xa1b2_3c4d: (swapped, nanoseconds) = (false, true)
    case 0xd4c3_b2a1: (swapped, nanoseconds) = (true, false)
    case 0x4d3c_b2a1: (swapped, nanoseconds) = (true, true)
    default: throw LabError("\(path): not a pcap file")
    }
    let network = bytes.loadUnaligned(fromByteOffset: 20, as: UInt32.self)
    linkType = (swapped ? network.byteSwapped : network) & 0xffff
    guard CaptureFile.linkHeaders[linkType] != nil else {
      throw LabError("\(path): link type \(linkType) is not one that is read here")
    }
  }

  deinit {
    if mapped { munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count) }
  }

  /// Bytes before the IP header, and where in them the EtherType stands: Ethernet, raw IP, "any" version 1 and 2.
  private static let linkHeaders: [UInt32: (count: Int, etherType: Int?)] = [
    1: (14, 12), 101: (0, nil), 113: (16, 14), 276: (20, 0),
  ]

  private func number(_ offset: Int) -> UInt32 {
    let value = bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
    return swapped ? value.byteSwapped : value
  }

  private func ethernetSource(at start: Int) -> UInt64 {
    (6..<12).reduce(0) { $0 << 8 | UInt64(bytes[start + $1]) }
  }

  /// Hands out the IP packets in the order of the file. A last frame that was cut short by the end of the file is left out.
  public func forEachFrame(_ body: (Frame) throws -> Void) throws {
    guard let link = CaptureFile.linkHeaders[linkType] else { return }
    var offset = 24
    while offset + 16 <= bytes.count {
      let kept = Int(number(offset + 8))
      let wire = Int(number(offset + 12))
      let start = offset + 16
      guard start + kept <= bytes.count else { return }
      defer { offset = start + kept }
      guard kept >= link.count, wire >= kept else { continue }
      if let position = link.etherType {
        let etherType = UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: start + position, as: UInt16.self))
        guard etherType == 0x0800 || etherType == 0x86dd else { continue }
      }
      let time = UInt64(number(offset)) * 1_000_000_000 + UInt64(number(offset + 4)) * (nanoseconds ? 1 : 1000)
      try body(
        Frame(
          time: time, packet: UnsafeRawBufferPointer(rebasing: bytes[(start + link.count)..<(start + kept)]),
          wireCount: wire - link.count, linkSource: linkType == 1 ? ethernetSource(at: start) : 0))
    }
  }
}
