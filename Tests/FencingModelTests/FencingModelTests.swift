import Lab
import Testing

/// The fencing protocol, checked exhaustively by spin(1): Tests/Model/fencing.pml, told in docs/fencing.md.
@Suite(.serialized)
struct FencingModelTests {
  /// What a search came to.
  private struct Search {
    let text: String
    /// Every reachable state was looked at, and nothing was wrong in any.
    var isSound: Bool { text.contains("errors: 0") && isComplete }
    var isComplete: Bool {
      // pan says so when it stopped, left states out, or had no room.
      !["Search not completed", "max search depth too small", "out of memory", "reached -DMEMLIM", "truncated"].contains
      {
        text.contains($0)
      } && text.contains("states, stored")
    }
    var violation: Substring? { text.split(separator: "\n").first { $0.contains("assertion violated") } }
  }

  private static var model: String {
    let tests = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
    return "/\(tests)/Model/fencing.pml"
  }

  private func search(_ flags: [String]) throws -> Search {
    let folder = try Scratch.subfolder("model")
    let defines = flags.map { "-D\($0)" }.joined(separator: " ")
    // Neither bit states nor hash compaction: what is said to be exhaustive is.
    let script = """
      cd \(folder) && spin -a \(defines) \(Self.model) >spin.out && \
      gcc -O2 -w -DSAFETY -DCOLLAPSE -DMEMLIM=2000 -o pan pan.c && exec ./pan -m600000
      """
    let process = try LabProcess.start("sh", ["-c", script], name: "model")
    let status = try process.wait(until: .seconds(2400))
    let search = Search(text: process.standardOutput + process.standardError)
    guard status == 0 else { throw LabError("the search ended with status \(status): \(search.text)") }
    Files.remove(folder)
    return search
  }

  @Test(arguments: [["HOLD"], ["ALLOW"], ["ARBITER", "PROMPT"]])
  func neverTwoThatSendAndNeverOldLedgers(configuration: [String]) throws {
    let search = try search(configuration)
    #expect(search.isSound, "\(search.text)")
  }

  /// The exception that docs/configuration.md describes: two hosts that cannot hear each other both go on.
  @Test func withoutAnArbiterAPartitionIsTheException() throws {
    let search = try search(["ALLOW", "PARTITION"])
    #expect(search.violation != nil, "\(search.text)")
  }

  @Test(arguments: [
    ["HOLD", "GATE_OFF"], ["HOLD", "ACK_BEFORE_FOLD"], ["HOLD", "EPOCH_NOT_COMPARED"],
    ["HOLD", "EXPOSED_WITHOUT_PERMISSION"],
    ["ALLOW", "GATE_OFF"], ["ALLOW", "ACK_BEFORE_FOLD"], ["ALLOW", "EPOCH_NOT_COMPARED"], ["ALLOW", "NOT_WARY"],
    ["ALLOW", "EQUAL_STEPS"],
    ["ARBITER", "PROMPT", "GATE_OFF"], ["ARBITER", "PROMPT", "ACK_BEFORE_FOLD"],
    ["ARBITER", "PROMPT", "EXPOSED_WITHOUT_PERMISSION"], ["ARBITER", "PROMPT", "LEASE_NOT_WATCHED"],
  ])
  func aBrokenPartIsFound(configuration: [String]) throws {
    let search = try search(configuration)
    #expect(search.violation != nil, "\(search.text)")
  }
}
