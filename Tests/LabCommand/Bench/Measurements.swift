internal import Lab

/// The numbers of one subject under one congestion control, one of each kind per round.
struct Measurements {
  /// Bits a second.
  var download: [Double] = []
  var upload: [Double] = []
  /// Microseconds.
  var median: [Double] = []
  var tail: [Double] = []

  /// Measures once more.
  mutating func add(_ subject: Subject, _ congestionControl: String, seconds: Double) throws {
    download.append(try subject.download(congestionControl, seconds: seconds))
    upload.append(try subject.upload(congestionControl, seconds: seconds))
    let times = try subject.pingPong(congestionControl, seconds: seconds)
    median.append(Double(times[times.count / 2]) / 1000)
    tail.append(Double(times[times.count * 99 / 100]) / 1000)
  }

  static func middle(_ values: [Double]) -> Double {
    guard !values.isEmpty else { return .nan }
    let sorted = values.sorted()
    return sorted.count % 2 == 1
      ? sorted[sorted.count / 2] : (sorted[sorted.count / 2 - 1] + sorted[sorted.count / 2]) / 2
  }
}

/// A kind of number that the table has a line for.
struct Measure: Sendable {
  let name: String
  let values: @Sendable (Measurements) -> [Double]
  /// From a value to what the table shows.
  let text: @Sendable (Double) -> String
  /// What the ratio to the reference gate must be.
  var target: Target?

  enum Target: Sendable {
    case atLeast(Double)
    case atMost(Double)

    func isMet(by ratio: Double) -> Bool {
      switch self {
      case .atLeast(let bound): ratio >= bound
      case .atMost(let bound): ratio <= bound
      }
    }

    var text: String {
      switch self {
      case .atLeast(let bound): "≥ \(bound)"
      case .atMost(let bound): "≤ \(bound)"
      }
    }
  }

  static let all = [
    Measure(
      name: "bulk out, Gb/s", values: { $0.download }, text: { rounded($0 / 1e9, 100) }, target: .atLeast(0.9)),
    Measure(name: "bulk in, Gb/s", values: { $0.upload }, text: { rounded($0 / 1e9, 100) }, target: .atLeast(0.9)),
    Measure(name: "64 bytes p50, µs", values: { $0.median }, text: { rounded($0, 1) }, target: .atMost(1.2)),
    Measure(name: "64 bytes p99, µs", values: { $0.tail }, text: { rounded($0, 1) }),
  ]

  static func rounded(_ value: Double, _ unit: Double) -> String {
    let result = (value * unit).rounded() / unit
    return unit == 1 ? "\(Int(result))" : "\(result)"
  }
}
