/// Which known word somebody may have meant.
package enum EditDistance {
  /// The word of `candidates` that the fewest insertions, deletions, replacements and swaps of neighbours make out of `word`;
  /// nil when none is near.
  package static func nearest(to word: String, among candidates: [String]) -> String? {
    let best = candidates.map { ($0, between(word, $0)) }.min { $0.1 < $1.1 }
    guard let (candidate, distance) = best, distance <= max(2, candidate.count / 3) else { return nil }
    return candidate
  }

  /// Optimal string alignment.
  package static func between(_ left: String, _ right: String) -> Int {
    let left = Array(left.lowercased()), right = Array(right.lowercased())
    var rows = [Array(0...right.count)]
    for i in 0..<left.count {
      var row = [i + 1]
      for j in 0..<right.count {
        var cost = min(row[j] + 1, rows[i][j + 1] + 1, rows[i][j] + (left[i] == right[j] ? 0 : 1))
        if i > 0, j > 0, left[i] == right[j - 1], left[i - 1] == right[j] { cost = min(cost, rows[i - 1][j - 1] + 1) }
        row.append(cost)
      }
      rows.append(row)
    }
    return rows[left.count][right.count]
  }
}
