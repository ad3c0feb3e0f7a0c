internal import ArgumentParser
internal import Glibc
internal import SystemPackage
internal import TLSTransport

struct Keygen: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Makes this host's key and certificate for the replication channel.",
    discussion: """
      Run it on both hosts, and put the line that it prints into the other host's configuration, under [pair.replication]. \
      The key stays on the host that made it. Run by root, both files belong to the account holdfast if there is one.
      """)

  @Option(help: "Where the key goes (mode 0600).") var key = "/etc/holdfast/holdfast.key"
  @Option(help: "Where the certificate goes.") var certificate = "/etc/holdfast/holdfast.crt"
  @Option(help: "How long the certificate is valid, in days.") var days = 3650
  @Flag(help: "Replace files that are there: the peer will refuse this host until it has the new fingerprint.")
  var force = false

  func validate() throws {
    guard (1...36_500).contains(days) else { throw ValidationError("--days takes 1 to 36500") }
    guard key != certificate else { throw ValidationError("--key and --certificate are the same file") }
  }

  func run() throws {
    do throws(TLSIdentityError) {
      let fingerprint = try KeyGeneration.write(
        certificatePath: certificate, keyPath: key, days: days, overwrite: force, owner: "holdfast")
      print(
        """
        # The certificate of this host. In the configuration of the other one, under [pair.replication]:
        peer_fingerprint = "\(fingerprint)"
        """)
    } catch {
      let (path, problem) =
        switch error {
        case .certificate(let problem): (certificate, problem)
        case .key(let problem): (key, problem)
        }
      let advice = problem == .unwritable(.fileExists) ? " (--force replaces it, and the peer has to be told)" : ""
      let line = "holdfastctl: \(path) \(problem)\(advice)\n"
      _ = Glibc.write(STDERR_FILENO, line, line.utf8.count)
      throw ExitCode.failure
    }
  }
}
