import Glibc
import Lab
import Testing

/// The commands that an operator types.
@Suite(.serialized)
struct CommandLineTests {
  private struct Result {
    let status: Int32
    let output: String
    let error: String
  }

  private func run(_ program: String, _ arguments: String..., environment: [String: String] = [:]) throws -> Result {
    let process = try LabProcess.start(Products.path(of: program), arguments, environment: environment)
    let status = try process.wait(until: .seconds(20))
    return Result(status: status, output: process.standardOutput, error: process.standardError)
  }

  @Test func statusAndConnectionsShowBothHosts() throws {
    let streams = try FailureDetectionTests.Streams()
    let pair = streams.pair
    for (host, role) in [(pair.alpha, "active"), (pair.beta, "standby")] {
      let text = try run("holdfastctl", "status", "--socket", host.controlPath)
      #expect(text.status == 0 && text.error == "")
      #expect(text.output.contains("node \(host.name)") && text.output.contains("pair web: \(role), synced"))
      #expect(text.output.split(separator: "\n").count { $0.contains("heartbeat") && $0.contains("alive") } == 2)
      let json = try run("holdfastctl", "status", "--json", environment: ["HOLDFAST_CONTROL": host.controlPath])
      let status = try DaemonStatus(json: json.output)
      #expect(status.node == "\(host.name)" && status.pairs.map(\.role) == [role])

      let table = try run("holdfastctl", "connections", "--socket", host.controlPath)
      let lines = table.output.split(separator: "\n")
      #expect(lines.count == 7 && lines[0].hasPrefix("ID") && lines[0].contains("UNACKED") && lines[0].contains("UNIT"))
      #expect(lines.dropFirst().allSatisfy { $0.contains("10.77.0.9:") && $0.contains("ESTABLISHED") })
      let list = try ConnectionList(
        json: try run("holdfastctl", "connections", "--json", "--socket", host.controlPath).output)
      #expect(list.connections.count == 6 && list.connections.allSatisfy { $0.timestampUnit == "ms" && $0.sent > 0 })
      #expect(try run("holdfastctl", "connections", "--service", "other", "--socket", host.controlPath).status == 0)
    }
    let release = try run("holdfastctl", "release", "00000100000000ff", "--socket", pair.alpha.controlPath)
    #expect(release.status == 1 && release.error.contains("00000100000000ff"))
    let other = try run("holdfastctl", "status", "other", "--socket", pair.alpha.controlPath)
    #expect(other.status == 1 && other.error.contains("other"))
    try expectNone(streams.end())
  }

  @Test func exitStatusesTellWhatWentWrong() throws {
    let nowhere = try run("holdfastctl", "status", "--socket", "/nonexistent/control.sock")
    #expect(nowhere.status == 3 && nowhere.error.contains("/nonexistent/control.sock") && nowhere.output == "")
    for program in ["holdfastctl", "holdfastd"] {
      let help = try run(program, "--help")
      #expect(help.status == 0 && help.output.contains("USAGE: \(program)"))
      let wrong = try run(program, "--no-such-option")
      #expect(wrong.status == 64 && wrong.error.contains("--no-such-option"))
    }
    let verb = try run("holdfastctl", "explode")
    #expect(verb.status == 64)
    let missing = try run("holdfastd", "--config", "/nonexistent/holdfastd.toml")
    #expect(missing.status == 1 && missing.error.contains("/nonexistent/holdfastd.toml"))
  }
}
