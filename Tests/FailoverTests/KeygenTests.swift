import Glibc
import Lab
import Testing

/// `holdfastctl keygen`, as an operator runs it.
@Suite struct KeygenTests {
  private let folder: String
  private var key: String { "\(folder)/a.key" }
  private var certificate: String { "\(folder)/a.crt" }

  init() throws { folder = try Scratch.subfolder("keygen") }

  private func keygen(_ options: String...) throws -> (status: Int32, said: String, error: String) {
    let process = try LabProcess.start(
      Products.path(of: "holdfastctl"), ["keygen", "--key", key, "--certificate", certificate] + options)
    let status = try process.wait(until: .seconds(20))
    return (status, process.standardOutput, process.standardError)
  }

  private func mode(_ path: String) -> mode_t? {
    var status = stat()
    return stat(path, &status) == 0 ? status.st_mode & 0o7777 : nil
  }

  @Test func itPrintsALineForThePeersConfiguration() throws {
    let made = try keygen()
    #expect(made.status == 0 && made.error.isEmpty)
    // All of it is TOML, to be pasted as it is.
    let lines = made.said.split(separator: "\n")
    #expect(lines.count == 2 && lines[0].hasPrefix("# "))
    #expect(lines[1].wholeMatch(of: /peer_fingerprint = "sha256:[0-9a-f]{64}"/) != nil)
    #expect(mode(key) == 0o600 && mode(certificate) == 0o644)
    // Another program reads the same number.
    let openssl = try Tool.run("openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", certificate)
    let digits = openssl.split(separator: "=").last.map { $0.filter { $0.isHexDigit }.lowercased() }
    #expect(lines[1].contains("sha256:\(try #require(digits))\""))
  }

  @Test func itOverwritesNothingUnasked() throws {
    let first = try keygen()
    let contents = try Files.read(key)
    let second = try keygen()
    #expect(second.status == 1 && second.said.isEmpty)
    #expect(
      second.error
        == "holdfastctl: \(key) cannot be written: File exists (--force replaces it, and the peer has to be told)\n")
    #expect(try Files.read(key) == contents)
    let third = try keygen("--force")
    #expect(third.status == 0 && third.said != first.said)
    #expect(try Files.read(key) != contents)
    #expect(mode(key) == 0o600)
  }

  @Test func wrongUsageIsSaidToBeSuch() throws {
    for options in [["--days", "0"], ["--days", "soon"], ["--certificate", key], ["--nonsense"]] {
      let process = try LabProcess.start(Products.path(of: "holdfastctl"), ["keygen", "--key", key] + options)
      #expect(try process.wait(until: .seconds(20)) == 64, "\(options)")
      #expect(!process.standardError.isEmpty)
    }
    #expect(mode(key) == nil)
    let help = try Tool.run(Products.path(of: "holdfastctl"), "keygen", "--help")
    for word in ["--key", "--certificate", "--days", "--force", "peer"] { #expect(help.contains(word)) }
  }
}
