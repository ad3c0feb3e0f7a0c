import Glibc
import Lab
import LinuxNetwork
import SystemCalls
import Testing

/// Descriptors that are kept while they change, for whoever comes after this process.
@Suite struct DescriptorShelfTests {
  private struct Found: Equatable {
    var note: String
    /// nil for a note alone.
    var contents: [UInt8]?
  }

  private static func contents(of root: Int32) throws -> [Found] {
    var found: [Found] = []
    try DescriptorShelf.empty(root) { entry in
      var entry = entry
      let file = entry.descriptors.take(at: 0)
      let contents: [UInt8]? =
        switch file {
        case .some(let file): try? MemoryFile.contents(of: file.number)
        case .none: nil
        }
      found.append(Found(note: String(decoding: entry.note, as: UTF8.self), contents: contents))
    }
    return found.sorted { $0.note < $1.note }
  }

  private static func file(_ number: Int) throws -> SharedFile { try SharedFile(number) }

  private final class SharedFile {
    let descriptor: Descriptor
    init(_ number: Int) throws {
      descriptor = try MemoryFile.make("file", holding: [UInt8(truncatingIfNeeded: number)])
    }
    var number: Int32 { descriptor.number }
  }

  /// At any moment exactly what was put there and not taken away can be found, whatever else has come and gone.
  @Test(arguments: [1, 2, 3])
  func whatWasPutThereIsThere(_ seed: UInt64) throws {
    var random = Dice(seed: seed)
    let shelf = try DescriptorShelf()
    var expected: [UInt64: (note: String, file: SharedFile?)] = [:]
    for step in 0..<2000 {
      let key = random.pick(0...59)
      if random.falls(0.67) {
        let file = random.falls(0.12) ? nil : try Self.file(step)
        let note = "\(key) \(step)"
        try shelf.put(key, note: Array(note.utf8), descriptor: file?.number)
        expected[key] = (note, file)
      } else {
        shelf.remove(key)
        expected[key] = nil
      }
      if random.falls(0.25) { try shelf.tidy() }
    }
    try shelf.tidy()
    #expect(shelf.count == expected.count)
    let want = try expected.values.map {
      Found(note: $0.note, contents: try $0.file.map { try MemoryFile.contents(of: $0.number) })
    }
    #expect(try Self.contents(of: shelf.root) == want.sorted { $0.note < $1.note })
  }

  /// What is kept stays open when this process, or all that it knew of the shelf, is gone.
  @Test func itOutlivesItsMaker() throws {
    let root: Descriptor
    do {
      let shelf = try DescriptorShelf()
      root = Descriptor(owning: fcntl(shelf.root, F_DUPFD_CLOEXEC, 0))
      for number in 0..<100 {
        let file = try Self.file(number)
        try shelf.put(UInt64(number), note: Array("note \(100 + number)".utf8), descriptor: file.number)
      }
    }
    let found = try Self.contents(of: root.number)
    #expect(found == (0..<100).map { Found(note: "note \(100 + $0)", contents: [UInt8($0)]) })
    #expect(try Self.contents(of: root.number).isEmpty)
  }

  /// The last close of a socket must not wait for the shelf.
  @Test func whatIsTakenAwayIsClosed() throws {
    let shelf = try DescriptorShelf()
    var ends: [Int32] = [-1, -1]
    try #require(pipe(&ends) == 0)
    let reader = Descriptor(owning: ends[0])
    for key in 0..<5 { try shelf.put(UInt64(key), note: [1], descriptor: ends[1]) }
    close(ends[1])
    var byte: UInt8 = 0
    _ = fcntl(reader.number, F_SETFL, O_NONBLOCK)
    #expect(read(reader.number, &byte, 1) == -1 && errno == EAGAIN)
    for key in 0..<5 { shelf.remove(UInt64(key)) }
    try shelf.tidy()
    #expect(read(reader.number, &byte, 1) == 0)
  }

  @Test func aNoteHasALimit() throws {
    let shelf = try DescriptorShelf()
    let file = try Self.file(1)
    try shelf.put(1, note: Array("before".utf8), descriptor: file.number)
    #expect(throws: SystemCallError.self) {
      try shelf.put(1, note: [UInt8](repeating: 0, count: DescriptorShelf.noteLimit + 1), descriptor: file.number)
    }
    for key in 2..<10 {
      try shelf.put(
        UInt64(key), note: [UInt8](repeating: 65, count: DescriptorShelf.noteLimit), descriptor: file.number)
    }
    #expect(try Self.contents(of: shelf.root).last == Found(note: "before", contents: [1]))
  }
}
