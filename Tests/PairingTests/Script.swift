/// A scenario as it stands in a file: settings and what happens when, then `--` and the trace that must come of it.
///
///     # What it shows.
///     set policy hold
///     0 alpha starts
///     2000 alpha dies
///     --
///     0 alpha starts
///     …
struct Script {
  struct Line {
    /// ms.
    var time: UInt64
    var words: [Substring]
  }

  struct Mistake: Error, CustomStringConvertible {
    var line: String
    var reason: String
    var description: String { "\"\(line)\": \(reason)" }
  }

  /// Everything above the trace, as written.
  let head: String
  private(set) var settings: [String: String] = [:]
  private(set) var lines: [Line] = []
  let trace: [String]

  init(_ text: String) throws {
    let all = text.split(separator: "\n", omittingEmptySubsequences: false)
    let divider = all.firstIndex(of: "--") ?? all.endIndex
    head = all[..<divider].joined(separator: "\n")
    trace = all[divider...].dropFirst().filter { !$0.isEmpty }.map(String.init)
    for line in all[..<divider] where !line.isEmpty && !line.hasPrefix("#") {
      let words = line.split(separator: " ")
      if words.count == 3, words[0] == "set" {
        settings[String(words[1])] = String(words[2])
      } else if let first = words.first, let time = UInt64(first) {
        guard time >= lines.last?.time ?? 0 else {
          throw Mistake(line: String(line), reason: "earlier than the line above")
        }
        lines.append(Line(time: time, words: Array(words.dropFirst())))
      } else {
        throw Mistake(line: String(line), reason: "expected `set KEY VALUE` or a time in ms")
      }
    }
  }
}
