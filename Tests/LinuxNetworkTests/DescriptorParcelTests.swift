import Glibc
import SystemCalls
import Testing

/// Many descriptors behind one, and a file in memory: what outlives a daemon.
@Suite struct DescriptorParcelTests {
  private static func inode(_ descriptor: Int32) -> UInt64? {
    var status = stat()
    return fstat(descriptor, &status) == 0 ? UInt64(status.st_ino) : nil
  }

  /// Several messages' worth, and none at all.
  @Test(arguments: [0, 1, 253, 600])
  func whatGoesInComesOutInOrder(_ count: Int) throws {
    var inodes: [UInt64?] = []
    var originals: [Int32] = []
    for index in 0..<count {
      let file = try MemoryFile.make("file \(index)", holding: [UInt8(truncatingIfNeeded: index)]).release()
      inodes.append(Self.inode(file))
      originals.append(file)
    }
    let parcel = try DescriptorParcel.pack(originals)
    // The parcel keeps them open on its own.
    for original in originals { close(original) }
    var received = try DescriptorParcel.unpack(parcel.number)
    try #require(received.count == count)
    for index in 0..<count {
      guard let file = received.take(at: index) else {
        Issue.record("number \(index) is missing")
        return
      }
      #expect(Self.inode(file.number) == inodes[index])
      #expect(try MemoryFile.contents(of: file.number) == [UInt8(truncatingIfNeeded: index)])
    }
  }

  @Test func aMemoryFileIsReadFromItsBeginningHoweverOften() throws {
    let bytes = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    let file = try MemoryFile.make("table", holding: bytes)
    for _ in 0..<2 { #expect(try MemoryFile.contents(of: file.number) == bytes) }
    let empty = try MemoryFile.make("empty", holding: [])
    #expect(try MemoryFile.contents(of: empty.number) == [])
  }
}
