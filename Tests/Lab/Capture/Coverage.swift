/// Which bytes of a stream have been seen.
struct Coverage {
  /// One past the furthest byte.
  private(set) var end = 0
  /// Bytes before it that nothing has brought yet, in order.
  private var holes: [Range<Int>] = []

  /// - Returns: the parts that had not been seen before, in order.
  @discardableResult
  mutating func cover(_ range: Range<Int>) -> [Range<Int>] {
    if range.lowerBound > end { holes.append(end..<range.lowerBound) }
    let beyond = max(end, range.lowerBound)..<max(end, range.upperBound)
    end = max(end, range.upperBound)
    guard !holes.isEmpty else { return beyond.isEmpty ? [] : [beyond] }
    let filled = holes.map { $0.clamped(to: range) }.filter { !$0.isEmpty }
    holes = holes.flatMap { hole -> [Range<Int>] in
      let covered = hole.clamped(to: range)
      guard !covered.isEmpty else { return [hole] }
      return [hole.lowerBound..<covered.lowerBound, covered.upperBound..<hole.upperBound].filter { !$0.isEmpty }
    }
    return beyond.isEmpty ? filled : filled + [beyond]
  }

  /// Whether none of the bytes has been seen.
  func isUnseen(_ range: Range<Int>) -> Bool {
    range.lowerBound >= end || holes.contains { $0.clamped(to: range) == range }
  }
}
