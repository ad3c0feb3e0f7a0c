import Glibc
import Testing

/// Every scenario's trace is what its file says, to the last action.
@Suite struct ScenarioTests {
  static let folder = "/" + #filePath.split(separator: "/").dropLast().joined(separator: "/") + "/Scenarios"

  static func text(_ path: String) -> String? {
    guard let stream = fopen(path, "r") else { return nil }
    defer { fclose(stream) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while case let count = fread(&chunk, 1, chunk.count, stream), count > 0 { bytes += chunk[..<count] }
    return String(decoding: bytes, as: UTF8.self)
  }

  static let names: [String] = {
    guard let directory = opendir(folder) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      if name.hasSuffix(".txt") { names.append(String(name.dropLast(4))) }
    }
    return names.sorted()
  }()

  @Test func thereAreScenarios() { #expect(Self.names.count >= 20) }

  /// With HOLDFAST_WRITE_TRACES set the files are written anew, for a change that is meant: read the difference.
  @Test(arguments: names)
  func theTraceIsTheExpectedOne(_ name: String) throws {
    let path = "\(Self.folder)/\(name).txt"
    let script = try Script(try #require(Self.text(path)))
    let driver = Driver(script.settings)
    try driver.run(script)
    if getenv("HOLDFAST_WRITE_TRACES") != nil {
      let text = script.head + "\n--\n" + driver.trace.joined(separator: "\n") + "\n"
      let stream = try #require(fopen(path, "w"))
      fputs(text, stream)
      fclose(stream)
      return
    }
    #expect(!script.trace.isEmpty, "\(name) expects nothing")
    for (index, line) in driver.trace.enumerated() {
      guard index < script.trace.count, script.trace[index] == line else {
        let expected = index < script.trace.count ? script.trace[index] : "the end"
        Issue.record("\(name): line \(index + 1) of the trace is\n\(line)\nand not\n\(expected)")
        return
      }
    }
    #expect(driver.trace.count == script.trace.count, "\(name): the trace ends early")
  }
}
