/// The daemon's own table as nft(8) shows it, and what somebody else can do to it.
public struct ListedTable: Sendable {
  public static let name = "inet holdfast"

  /// What somebody else takes out of the table, or with it.
  public enum Damage: String, CaseIterable, Sendable {
    case tableDeleted = "table deleted"
    case tableFlushed = "rules of the table flushed"
    case ruleDeleted = "one rule deleted"
    case chainDeleted = "one chain deleted"
    case setFlushed = "set flushed"
    case elementDeleted = "one element deleted"
    case rulesetFlushed = "whole ruleset flushed"
  }

  /// The table, without counters; handles are left in.
  public let text: String

  /// - Returns: nil when the host has no such table.
  public init?(of host: Namespace) throws {
    // To nft(8) a table that is not there is an error.
    guard try Tool.run("nft", ["list", "tables"], in: host).split(separator: "\n").contains("table \(Self.name)") else {
      return nil
    }
    // It may go between the two calls.
    guard
      let text = try? Tool.run(
        "nft", ["-sna", "list", "table"] + Self.name.split(separator: " ").map(String.init), in: host)
    else { return nil }
    self.text = text
  }

  /// What the table says, whatever the order of its elements, the numbers that the kernel has given to its parts, and its owner.
  public var content: [String] {
    let lines = text.split(separator: "\n").map { line -> Substring in
      guard let comment = line.firstRange(of: " # ") else { return line }
      return line[..<comment.lowerBound]
    }
    let words = lines.map { line in line.split { " ,\t".contains($0) } }
    // nft(8) has no name for some flags of a table whose owner has gone.
    return words.filter { !($0.first == "flags" && ($0.count == 1 || $0.contains("owner"))) }
      .flatMap { $0.map(String.init) }.sorted()
  }

  /// A part of the table: the chain or set that it stands in, and its number.
  private struct Part {
    var holder: String
    var handle: String
  }

  private func named(_ kind: String) -> [String] {
    text.split(separator: "\n").compactMap { line in
      let words = line.split { $0 == " " || $0 == "\t" }
      return words.count >= 3 && words[0] == kind && words[2] == "{" ? String(words[1]) : nil
    }
  }

  public var chains: [String] { named("chain") }
  public var sets: [String] { named("set") }

  private var rules: [Part] {
    var holder: String?
    return text.split(separator: "\n").compactMap { line in
      let words = line.split { $0 == " " || $0 == "\t" }
      if words.count >= 3, words[2] == "{" {
        holder = words[0] == "chain" ? String(words[1]) : nil
        return nil
      }
      guard let holder, let mark = words.lastIndex(of: "handle"), mark + 1 < words.count, words[0] != "}" else {
        return nil
      }
      return Part(holder: holder, handle: String(words[mark + 1]))
    }
  }

  /// The first element of a set, as nft(8) wants it.
  private func element(of set: String) -> String? {
    guard let start = text.firstRange(of: "set \(set) {"),
      let list = text[start.upperBound...].firstRange(of: "elements = {")
    else { return nil }
    let rest = text[list.upperBound...]
    guard let end = rest.firstIndex(where: { $0 == "," || $0 == "}" }) else { return nil }
    // A set with counters has them behind each element.
    let words = rest[..<end].split(whereSeparator: \.isWhitespace).prefix { $0 != "counter" }
    return words.isEmpty ? nil : words.joined(separator: " ")
  }

  /// What nft(8) is to be told.
  public func command(for damage: Damage) throws -> String {
    func first<Value>(_ values: [Value], _ what: String) throws -> Value {
      guard let value = values.first else { throw LabError("the table has no \(what):\n\(text)") }
      return value
    }
    let table = Self.name
    switch damage {
    case .tableDeleted: return "delete table \(table)"
    case .tableFlushed: return "flush table \(table)"
    case .rulesetFlushed: return "flush ruleset"
    case .ruleDeleted:
      let rule = try first(rules, "rule")
      return "delete rule \(table) \(rule.holder) handle \(rule.handle)"
    case .chainDeleted:
      // One that another one jumps to cannot go.
      guard let chain = chains.first(where: { !text.contains("jump \($0) ") && !text.contains("goto \($0) ") }) else {
        throw LabError("the table has no chain that can be deleted:\n\(text)")
      }
      return "flush chain \(table) \(chain); delete chain \(table) \(chain)"
    case .setFlushed:
      let filled = sets.filter { element(of: $0) != nil }
      return try "flush set \(table) " + first(filled, "set with elements")
    case .elementDeleted:
      for set in sets {
        if let element = element(of: set) { return "delete element \(table) \(set) { \(element) }" }
      }
      throw LabError("the table has no element:\n\(text)")
    }
  }
}
