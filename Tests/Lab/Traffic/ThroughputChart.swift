/// A picture of bytes over time, as SVG: one line a run, and a mark where the host was cut off.
public struct ThroughputChart {
  public struct Run {
    public let name: String
    public let colour: String
    public let throughput: Throughput
    /// Nanoseconds on the same clock as the throughput's start.
    public let failure: UInt64

    public init(name: String, colour: String, throughput: Throughput, failure: UInt64) {
      self.name = name
      self.colour = colour
      self.throughput = throughput
      self.failure = failure
    }

    /// Seconds relative to the failure, and Mbit/s.
    var points: [(x: Double, y: Double)] {
      throughput.bytes.enumerated().map { index, bytes in
        let time = Double(throughput.start) + (Double(index) + 0.5) * Double(throughput.slice) - Double(failure)
        return (time / 1e9, Double(bytes) * 8000 / Double(throughput.slice))
      }
    }
  }

  private let title: String
  private let runs: [Run]
  private let width = 960.0
  private let height = 420.0
  private let left = 80.0
  private let right = 20.0
  private let top = 70.0
  private let bottom = 50.0

  public init(title: String, runs: [Run]) {
    self.title = title
    self.runs = runs
  }

  public var svg: String {
    let points = runs.flatMap(\.points)
    let first = (points.map(\.x).min() ?? -1).rounded(.down)
    let last = max((points.map(\.x).max() ?? 1).rounded(.up), 1)
    let highest = ThroughputChart.roundUp(points.map(\.y).max() ?? 1)
    func x(_ seconds: Double) -> Double { left + (seconds - first) / (last - first) * (width - left - right) }
    func y(_ rate: Double) -> Double { height - bottom - rate / highest * (height - top - bottom) }

    var parts = [
      """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Int(width)) \(Int(height))" font-family="sans-serif" \
      font-size="13">
      <rect width="100%" height="100%" fill="white"/>
      <text x="\(left)" y="26" font-size="17">\(ThroughputChart.escape(title))</text>
      """
    ]
    for step in 0...5 {
      let rate = highest * Double(step) / 5
      let level = ThroughputChart.number(y(rate))
      parts.append("<line x1=\"\(left)\" x2=\"\(width - right)\" y1=\"\(level)\" y2=\"\(level)\" stroke=\"#ddd\"/>")
      parts.append(
        "<text x=\"\(left - 8)\" y=\"\(level)\" text-anchor=\"end\" dominant-baseline=\"middle\">\(Int(rate))</text>")
    }
    for second in Int(first)...Int(last) {
      let place = ThroughputChart.number(x(Double(second)))
      parts.append("<text x=\"\(place)\" y=\"\(height - bottom + 20)\" text-anchor=\"middle\">\(second)</text>")
    }
    parts.append(
      "<text x=\"\((left + width - right) / 2)\" y=\"\(height - 10)\" text-anchor=\"middle\">seconds since alpha was cut off</text>"
    )
    parts.append("<text x=\"14\" y=\"\(top - 14)\">Mbit/s</text>")
    let mark = ThroughputChart.number(x(0))
    parts.append(
      "<line x1=\"\(mark)\" x2=\"\(mark)\" y1=\"\(top)\" y2=\"\(height - bottom)\" stroke=\"#c00\" stroke-dasharray=\"5 4\"/>"
    )
    parts.append("<text x=\"\(mark)\" y=\"\(top - 6)\" fill=\"#c00\" text-anchor=\"middle\">alpha cut off</text>")
    for (index, run) in runs.enumerated() {
      let line = run.points.map { "\(ThroughputChart.number(x($0.x))),\(ThroughputChart.number(y($0.y)))" }
      parts.append(
        "<polyline fill=\"none\" stroke=\"\(run.colour)\" stroke-width=\"1.6\" points=\"\(line.joined(separator: " "))\"/>"
      )
      parts.append(
        "<text x=\"\(left + 10 + Double(index) * 240)\" y=\"46\" fill=\"\(run.colour)\">— \(ThroughputChart.escape(run.name))</text>"
      )
    }
    parts.append("</svg>\n")
    return parts.joined(separator: "\n")
  }

  /// The next of 1, 2, 5, 10, 20, 50 …
  private static func roundUp(_ value: Double) -> Double {
    var unit = 1.0
    while true {
      for factor in [1.0, 2, 5] where unit * factor >= value { return unit * factor }
      unit *= 10
    }
  }

  private static func number(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

  private static func escape(_ text: String) -> String {
    text.reduce(into: "") { result, character in
      switch character {
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "&": result += "&amp;"
      default: result.append(character)
      }
    }
  }
}
