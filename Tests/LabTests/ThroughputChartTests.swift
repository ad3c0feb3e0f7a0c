import Lab
import Testing

struct ThroughputChartTests {
  @Test func everyRunIsALineAndTheFailureIsMarked() {
    var throughput = Throughput(start: 1_000_000_000)
    throughput.add(1000, at: 1_000_000_000)
    throughput.add(5000, at: 1_500_000_000)
    #expect(throughput.bytes.count == 26)
    #expect(throughput.bytes.reduce(0, +) == 6000)
    let run = ThroughputChart.Run(name: "a < b", colour: "#000", throughput: throughput, failure: 1_200_000_000)
    let svg = ThroughputChart(title: "t", runs: [run, run]).svg
    #expect(svg.split(separator: "\n").count { $0.contains("<polyline") } == 2)
    #expect(svg.contains("alpha cut off"))
    #expect(svg.contains("a &lt; b"))
    #expect(svg.hasSuffix("</svg>\n"))
  }

  @Test func theLongestStallIsKept() {
    var meter = StallMeter(now: 100)
    meter.progress(at: 150)
    meter.progress(at: 400)
    meter.progress(at: 410)
    #expect(meter.longest == 250)
    #expect(meter.longestSince == 150)
    meter.restart(at: 10_000)
    meter.progress(at: 10_001)
    #expect(meter.longest == 250)
  }
}
