import Glibc
@testable import HostConfiguration
import TLSTransport
import Testing

@testable import DaemonSupport
@testable import HoldfastDaemon

/// A configuration on disk, with the keys that it names.
@Suite struct TrustConfigurationTests {
  private final class Host {
    let folder: String
    let own: Fingerprint
    init() throws {
      var template = Array("/tmp/holdfast-trust-XXXXXX".utf8CString)
      try #require(mkdtemp(&template) != nil)
      folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
      own = try KeyGeneration.write(
        certificatePath: "\(folder)/crt", keyPath: "\(folder)/key", days: 1, overwrite: false, owner: "")
    }
    deinit {
      for name in ["crt", "key", "toml"] { unlink("\(folder)/\(name)") }
      rmdir(folder)
    }

    /// What loading says, without the file's name.
    func load(pin: Fingerprint = Fingerprint(of: [1])) throws -> String {
      let text = """
        [node]
        name = "alpha"
        [[pair]]
        name = "web"
        addresses = ["10.77.0.100/24 dev eth0"]
        prefer = "active"
        [pair.replication]
        local = "10.78.0.1:7411"
        peer = "10.78.0.2:7411"
        certificate = "\(folder)/crt"
        key = "\(folder)/key"
        peer_fingerprint = "\(pin)"
        [pair.heartbeat]
        paths = [ { local = "10.78.0.1:7412", peer = "10.78.0.2:7412" } ]
        """
      let file = try #require(fopen("\(folder)/toml", "w"))
      fputs(text, file)
      fclose(file)
      do throws(ConfigurationError) {
        _ = try Configuration.load(path: "\(folder)/toml")
        return "valid"
      } catch { return "\(error)".replacing("\(folder)/", with: "") }
    }
  }

  @Test func keysThatCanBeUsedAreAccepted() throws {
    #expect(try Host().load() == "valid")
  }

  @Test func aKeyThatIsNotThereIsNamed() throws {
    let host = try Host()
    unlink("\(host.folder)/key")
    #expect(try host.load() == "toml: pair[0].replication.key: key cannot be read: No such file or directory")
    unlink("\(host.folder)/crt")
    #expect(try host.load() == "toml: pair[0].replication.certificate: crt cannot be read: No such file or directory")
  }

  /// The addresses must come off a host whose daemon has crashed, whatever state its keys are in.
  @Test func withoutItsKeysAConfigurationCanStillBeRead() throws {
    let host = try Host()
    unlink("\(host.folder)/key")
    _ = try host.load()
    #expect(try Configuration.load(path: "\(host.folder)/toml", checkingKeys: false).pairs.count == 1)
  }

  @Test func aKeyThatOthersMayReadIsRefused() throws {
    let host = try Host()
    chmod("\(host.folder)/key", 0o644)
    #expect(
      try host.load()
        == "toml: pair[0].replication.key: key has the permissions 0644: only its owner, and its group to read, may have "
        + "access (chmod 0600)")
  }

  @Test func theOwnFingerprintIsNotThePeers() throws {
    let host = try Host()
    #expect(
      try host.load(pin: host.own)
        == "toml: pair[0].replication.peer_fingerprint: is that of this host's own certificate; that of the other host's is "
        + "needed")
  }
}
