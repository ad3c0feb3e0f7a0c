internal import ControlAPI
internal import FoundationEssentials
internal import Glibc
package import LinuxNetwork

/// What a running daemon is responsible for: its pairs with their addresses, and the configuration that it runs with.
///
/// It stands in a file (`RuntimeStateFile`) for those who come when the daemon is gone: `holdfastctl fence`, which must know the
/// addresses even when the configuration cannot be read, and the next daemon, which must not leave behind what is no longer configured.
package struct RuntimeState: Codable, Equatable {
  /// Raised when an earlier release could not read what this one writes.
  package static let currentVersion = 1

  package var version = Self.currentVersion
  /// The release that wrote it, for people.
  package var release = holdfastVersion
  /// The network namespace that the addresses are in (`currentNetwork`).
  package var network: String
  /// Path of the control socket: whoever answers there is the daemon that wrote this.
  package var control: String
  /// The configuration's path, absolute.
  package var file: String
  /// The text of the configuration that the daemon runs with. It was valid.
  package var text: String
  package var pairs: [Pair]

  package struct Pair: Codable, Equatable {
    package var name: String
    package var addresses: [ServiceAddress]

    package init(name: String, addresses: [ServiceAddress]) {
      self.name = name
      self.addresses = addresses
    }

    private enum CodingKeys: String, CodingKey { case name, addresses }

    package init(from decoder: any Decoder) throws {
      let values = try decoder.container(keyedBy: CodingKeys.self)
      name = try values.decode(String.self, forKey: .name)
      addresses = try values.decode([String].self, forKey: .addresses).map { try ServiceAddress($0) }
    }

    package func encode(to encoder: any Encoder) throws {
      var values = encoder.container(keyedBy: CodingKeys.self)
      try values.encode(name, forKey: .name)
      try values.encode(addresses.map { "\($0)" }, forKey: .addresses)
    }
  }

  package init(network: String, _ inForce: ConfigurationInForce) {
    self.network = network
    control = inForce.configuration.node.control
    file = inForce.path
    text = inForce.text
    pairs = inForce.configuration.pairs.map { Pair(name: $0.name, addresses: $0.addresses) }
  }

  package var addresses: [ServiceAddress] { pairs.flatMap(\.addresses) }

  /// Why bytes are no such state.
  package enum Unusable: Error, Equatable, CustomStringConvertible {
    case malformed(String)
    case version(Int)
    case control(String)

    package var description: String {
      switch self {
      case .malformed(let reason): "it is damaged: \(reason)"
      case .version(let version):
        "it has form \(version), and this release reads \(RuntimeState.currentVersion): it is of another release"
      case .control(let path): "\"\(path)\" cannot be the path of a control socket"
      }
    }
  }

  package init(decoding bytes: [UInt8]) throws(Unusable) {
    struct Version: Decodable { var version: Int }
    let found: Int
    do { found = try JSONDecoder().decode(Version.self, from: Data(bytes)).version } catch {
      throw .malformed("\(error)")
    }
    guard found == Self.currentVersion else { throw .version(found) }
    do { self = try JSONDecoder().decode(RuntimeState.self, from: Data(bytes)) } catch { throw .malformed("\(error)") }
    guard control.hasPrefix("/"), control.utf8.count <= 107, !control.utf8.contains(0) else { throw .control(control) }
  }

  package var encoded: [UInt8] {
    get throws {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
      return try Array(encoder.encode(self))
    }
  }

  /// The network namespace that this process is in: the device and the number of its file (namespaces(7)). Several may share a file
  /// system, and each has addresses of its own.
  package static var currentNetwork: String {
    var status = stat()
    guard stat("/proc/self/ns/net", &status) == 0 else { return "unknown" }
    return "\(status.st_dev):\(status.st_ino)"
  }
}
