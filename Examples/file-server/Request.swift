/// The part of an HTTP/1.x request header (RFC 9112) that decides what is answered.
struct Request: Hashable {
  /// `bytes=` ranges (RFC 9110, 14.1.2), one alone; offsets inclusive, as on the wire.
  enum Range: Hashable {
    case from(Int, through: Int?)
    case last(Int)
  }

  enum Failure: Error, Hashable {
    case malformed
    case unsupportedVersion
  }

  var method: String
  /// As it came, still percent-encoded, without the query.
  var target: String
  var range: Range?
  var keepAlive: Bool
  /// Content follows the header; this server does not read it, so the connection cannot go on.
  var hasContent = false

  /// The length of a header, its blank line included, at the front of `bytes`; nil when it is not complete.
  static func headerLength(_ bytes: ArraySlice<UInt8>) -> Int? {
    // A line end may lack its CR (RFC 9112, 2.2).
    var lineIsEmpty = false
    for (index, byte) in bytes.enumerated() {
      if byte == UInt8(ascii: "\n") {
        if lineIsEmpty { return index + 1 }
        lineIsEmpty = true
      } else if byte != UInt8(ascii: "\r") {
        lineIsEmpty = false
      }
    }
    return nil
  }

  init(header: ArraySlice<UInt8>) throws(Failure) {
    var lines = header.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)[...].map { line in
      String(decoding: line.last == UInt8(ascii: "\r") ? line.dropLast() : line, as: UTF8.self)
    }[...]
    guard let first = lines.popFirst() else { throw .malformed }
    let parts = first.split(separator: " ", omittingEmptySubsequences: false)
    guard parts.count == 3, !parts[0].isEmpty, parts[1].hasPrefix("/"),
      parts[1].utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
    else { throw .malformed }
    guard parts[2].hasPrefix("HTTP/1.") else { throw .unsupportedVersion }
    method = String(parts[0])
    target = String(parts[1].prefix { $0 != "?" && $0 != "#" })
    keepAlive = parts[2] != "HTTP/1.0"
    var isConditionalRange = false
    for line in lines where !line.isEmpty {
      guard let colon = line.firstIndex(of: ":") else { throw .malformed }
      let value = line[line.index(after: colon)...].trimmed
      switch line[..<colon].lowercased() {
      case "connection":
        let options = value.lowercased().split(separator: ",").map { $0.trimmed }
        if options.contains("close") { keepAlive = false } else if options.contains("keep-alive") { keepAlive = true }
      case "range": range = Self.range(value)
      case "if-range": isConditionalRange = true
      case "content-length": if value != "0" { hasContent = true }
      case "transfer-encoding": hasContent = true
      default: break
      }
    }
    // There is nothing to compare the condition with, so it does not hold.
    if isConditionalRange { range = nil }
  }

  /// nil for what is to be ignored: other units, several ranges, no range at all.
  private static func range(_ text: String) -> Range? {
    guard text.lowercased().hasPrefix("bytes=") else { return nil }
    let ends = text.dropFirst(6).split(separator: "-", omittingEmptySubsequences: false).map { $0.trimmed }
    guard ends.count == 2, ends.allSatisfy({ $0.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 } }) else { return nil }
    guard !ends[0].isEmpty else { return Int(ends[1]).map { .last($0) } }
    guard let start = Int(ends[0]) else { return nil }
    if ends[1].isEmpty { return .from(start, through: nil) }
    guard let end = Int(ends[1]), end >= start else { return nil }
    return .from(start, through: end)
  }
}

extension StringProtocol {
  fileprivate var trimmed: String {
    func isBlank(_ character: Character) -> Bool { character == " " || character == "\t" }
    return String(drop(while: isBlank).reversed().drop(while: isBlank).reversed())
  }
}
