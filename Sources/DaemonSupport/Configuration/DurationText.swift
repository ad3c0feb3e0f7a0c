/// Times as they stand in the configuration: a whole number and its unit, `50ms`.
package enum DurationText {
  private static let units: [(suffix: String, nanoseconds: UInt64)] = [
    ("us", 1000), ("ms", 1_000_000), ("min", 60_000_000_000), ("s", 1_000_000_000),
  ]

  /// The nanoseconds that `text` means; nil for anything but digits followed by us, ms, s or min, and for what does not fit.
  package static func nanoseconds(_ text: String) -> UInt64? {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    guard let number = UInt64(digits), let unit = units.first(where: { $0.suffix == text[digits.endIndex...] }) else {
      return nil
    }
    let (product, overflow) = number.multipliedReportingOverflow(by: unit.nanoseconds)
    return overflow ? nil : product
  }

  /// The shortest text that means exactly so many nanoseconds (whole microseconds).
  package static func text(_ nanoseconds: UInt64) -> String {
    for unit in [units[3], units[1]] where nanoseconds >= unit.nanoseconds && nanoseconds % unit.nanoseconds == 0 {
      return "\(nanoseconds / unit.nanoseconds)\(unit.suffix)"
    }
    return "\(nanoseconds / units[0].nanoseconds)us"
  }
}
