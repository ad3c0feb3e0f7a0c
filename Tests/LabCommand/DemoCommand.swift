internal import ArgumentParser
internal import Lab

/// `holdfast-lab demo`.
struct DemoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo",
    abstract: "Downloads a file with curl, crashes the host that serves it, and shows what becomes of the download.")

  @Option(help: "Size of the file, MiB.") var size = 256
  @Option(help: "What curl is limited to, MiB/s, so that the download lasts a while.") var rate = 64
  @Option(help: "A folder for the chart of throughput over time.") var output = ".build/demo"

  func validate() throws {
    guard size > 0, rate > 0 else { throw ValidationError("size and rate must be positive") }
  }

  func run() throws {
    let demo = try Demo(megabytes: size, rate: rate)
    print(
      """
      Holdfast: a download outlives the host that serves it

        client 10.77.0.9 ──┐
                           ├── LAN ── alpha 10.77.0.1 ══ replication link ══ beta 10.77.0.2
                           └───────────────────────────────────────────── beta
        service address \(Addresses.service4), a file of \(size) MiB, curl limited to \(rate) MiB/s

      """)
    print("Without Holdfast: alpha is cut off in mid-transfer, beta takes its address")
    let control = try demo.control()
    control.describe()
    print("\nWith Holdfast: the same, with a daemon on either host")
    let protected = try demo.protected()
    protected.describe()

    try Files.makeFolders(output)
    let chart = "\(output)/throughput.svg"
    let runs = [
      ThroughputChart.Run(
        name: "without Holdfast", colour: "#999", throughput: control.throughput, failure: control.crash.wallTime),
      ThroughputChart.Run(
        name: "with Holdfast", colour: "#07a", throughput: protected.throughput, failure: protected.crash.wallTime),
    ]
    try Files.write(
      ThroughputChart(title: "One curl download while its server's host is cut off", runs: runs).svg, to: chart)
    print("\nThroughput over time: \(chart)")
    guard control.failedAsExpected else {
      print("FAILED: the control run should have failed, so this proves nothing")
      throw ExitCode.failure
    }
    let problems = protected.problems
    guard problems.isEmpty else {
      print("FAILED:")
      for problem in problems { print("  \(problem)") }
      throw ExitCode.failure
    }
    print("The download is complete and correct, and its peer saw nothing but a pause.")
  }
}
