/// What one pair's chains and sets are called: `web-in`, `web-out`, `web-flows4`, `web-flows6`.
///
/// A name that nft(8) could not read again, because it begins with another character than a letter, gets a "_" in front.
struct TableNames {
  /// NUL-terminated, as libnftnl takes them.
  let ingress: [CChar]
  let egress: [CChar]
  let v4: [CChar]
  let v6: [CChar]

  /// - Returns: nil for a text that cannot be a part of a name.
  init?(pair: String) {
    guard (1...64).contains(pair.utf8.count), pair.utf8.allSatisfy(Self.isAllowed) else { return nil }
    let stem = pair.utf8.first.map(Self.isLetter) == true ? pair : "_" + pair
    func name(_ end: String) -> [CChar] { (stem + end).utf8.map { CChar(bitPattern: $0) } + [0] }
    (ingress, egress) = (name("-in"), name("-out"))
    (v4, v6) = (name(Self.ends.v4), name(Self.ends.v6))
  }

  private static let ends = (v4: "-flows4", v6: "-flows6")

  /// The pair whose set this is; nil for a set of another kind.
  static func pair(ofSet name: String) -> String? {
    guard name.hasSuffix(ends.v4) || name.hasSuffix(ends.v6) else { return nil }
    let stem = name.dropLast(ends.v4.utf8.count)
    return String(stem.first == "_" ? stem.dropFirst() : stem)
  }

  static func text(_ name: [CChar]) -> String {
    String(decoding: name.dropLast().lazy.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  private static func isLetter(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
  }

  private static func isAllowed(_ byte: UInt8) -> Bool {
    isLetter(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || ".-_".utf8.contains(byte)
  }
}
