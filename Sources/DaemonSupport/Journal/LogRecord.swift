package import Logging

/// One thing to log, in the two forms in which it can leave the daemon.
package struct LogRecord {
  /// The program that logs.
  package let identifier: String
  package let level: Logger.Level
  package let message: String
  package let messageID: String?
  /// In the order of their keys, so that equal events give equal lines.
  package let values: [(key: String, value: String)]
  package let file: String
  package let function: String
  package let line: UInt

  /// Under this metadata key the id of a kind of events travels to the log handler.
  package static let eventKey = "MESSAGE_ID"

  /// - Parameter context: what the logger itself carries; what the event says counts more.
  package init(
    _ event: LogEvent, context: Logger.Metadata, provided: Logger.Metadata = [:], identifier: String = "holdfastd"
  ) {
    self.identifier = identifier
    level = event.level
    message = event.message.description
    file = event.file
    function = event.function
    line = event.line
    var metadata = context.merging(provided) { $1 }.merging(event.metadata ?? [:]) { $1 }
    if let error = event.error, metadata["error"] == nil { metadata["error"] = "\(error)" }
    messageID = metadata.removeValue(forKey: Self.eventKey)?.description
    values = metadata.map { ($0.key, $0.value.description) }.sorted { $0.0 < $1.0 }
  }

  /// syslog(3)'s numbers.
  package var priority: Int {
    switch level {
    case .trace, .debug: 7
    case .info: 6
    case .notice: 5
    case .warning: 4
    case .error: 3
    case .critical: 2
    }
  }

  /// `notice takeover completed connections=312 reason="all paths silent"`: always one line.
  package var text: String {
    values.reduce(into: "\(level) \(Self.oneLine(message))") { text, entry in
      text += " \(entry.key)=\(Self.quoted(entry.value))"
    }
  }

  /// The fields of a journal entry (systemd.journal-fields(7)).
  package var journalFields: [String] {
    var fields = [
      "MESSAGE=\(message)", "PRIORITY=\(priority)", "SYSLOG_IDENTIFIER=\(identifier)", "CODE_FILE=\(file)",
      "CODE_LINE=\(line)", "CODE_FUNC=\(function)",
    ]
    if let messageID { fields.append("MESSAGE_ID=\(messageID)") }
    fields += values.map { "\(Self.fieldName($0.key))=\($0.value)" }
    return fields
  }

  /// `oldRole`, `old-role` and `old_role` are all HOLDFAST_OLD_ROLE. The journal takes upper case letters, digits and
  /// underscores, 64 bytes at most, and drops the whole entry for any other name.
  package static func fieldName(_ key: String) -> String {
    var name = "HOLDFAST_"
    var afterSmall = false
    for byte in key.utf8 {
      let letter = Unicode.Scalar(byte)
      switch letter {
      case "A"..."Z":
        if afterSmall { name += "_" }
        name.unicodeScalars.append(letter)
      case "a"..."z": name.unicodeScalars.append(Unicode.Scalar(byte - 0x20))
      case "0"..."9": name.unicodeScalars.append(letter)
      default: name += "_"
      }
      afterSmall = ("a"..."z").contains(letter) || ("0"..."9").contains(letter)
    }
    return String(name.prefix(64))
  }

  private static func quoted(_ value: String) -> String {
    let plain =
      !value.isEmpty && value.unicodeScalars.allSatisfy { $0 > " " && $0 != "\"" && $0 != "=" && $0 != "\u{7f}" }
    if plain { return value }
    return "\"" + oneLine(value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")) + "\""
  }

  /// What a peer or an application chose may be in here: no control character reaches a terminal.
  private static func oneLine(_ text: String) -> String {
    var line = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\n": line += "\\n"
      case "\t": line += "\\t"
      case _ where scalar.value < 0x20 || (0x7f..<0xa0).contains(scalar.value):
        line += "\\u{" + String(scalar.value, radix: 16) + "}"
      default: line.unicodeScalars.append(scalar)
      }
    }
    return line
  }
}
