extension UInt64 {
  /// Nanoseconds as milliseconds with three decimals: `12.345`.
  var inMilliseconds: String {
    let microseconds = self / 1000
    let rest = String(microseconds % 1000)
    return "\(microseconds / 1000)." + String(repeating: "0", count: 3 - rest.count) + rest
  }
}
