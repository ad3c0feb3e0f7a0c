import Glibc
import Logging
import Pairing
import Testing

@testable import HoldfastDaemon

@Suite struct EpochFileTests {
  private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

  private func inADirectory(_ body: (String) throws -> Void) throws {
    var template = Array("/tmp/holdfast-epoch-XXXXXX\0".utf8.map { CChar(bitPattern: $0) })
    let directory = try #require(mkdtemp(&template).map { String(cString: $0) })
    defer {
      for name in names(in: directory) { unlink("\(directory)/\(name)") }
      rmdir(directory)
    }
    try body(directory)
  }

  private func names(in directory: String) -> [String] {
    guard let stream = opendir(directory) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  private func file(_ directory: String?, pair: String = "web") -> EpochFile {
    EpochFile(pair: pair, node: "alpha", directory: directory, logger: Self.logger)
  }

  @Test func theHighestEpochIsThereAfterARestart() throws {
    try inADirectory { directory in
      var first = file(directory)
      #expect(first.epoch == 0)
      first.record(3)
      first.record(2)
      first.record(Epoch.limit - 1)
      #expect(file(directory).epoch == Epoch.limit - 1)
      #expect(file(directory, pair: "other").epoch == 0)
      #expect(names(in: directory) == ["alpha.web.epoch"])
    }
  }

  @Test func aPairsNameStaysInTheDirectory() throws {
    try inADirectory { directory in
      var file = file(directory, pair: "../wëb/x")
      file.record(7)
      #expect(names(in: directory) == ["alpha...%2fw%c3%abb%2fx.epoch"])
      #expect(self.file(directory, pair: "../wëb/x").epoch == 7)
    }
  }

  @Test(arguments: ["-5 apples", "18446744073709551615", "4611686018427387904", ""])
  func whatIsNoEpochCountsFromZero(text: String) throws {
    try inADirectory { directory in
      let stream = try #require(fopen("\(directory)/alpha.web.epoch", "w"))
      fputs(text, stream)
      fclose(stream)
      var file = file(directory)
      #expect(file.epoch == 0)
      file.record(1)
      #expect(self.file(directory).epoch == 1)
    }
  }

  /// The pair goes on with what it knows; nothing waits for a disk.
  @Test(arguments: [nil, "/nonexistent", "/dev/null/x"])
  func withoutADirectoryItIsKeptInMemory(_ directory: String?) {
    var file = file(directory)
    file.record(4)
    #expect(file.epoch == 4)
  }

  @Test func theFirstOfSeveralDirectoriesCounts() throws {
    try inADirectory { directory in
      var file = file("\(directory):/nonexistent")
      file.record(9)
      #expect(self.file(directory).epoch == 9)
    }
  }
}
