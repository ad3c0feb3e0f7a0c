internal import Glibc
internal import LinuxNetwork
internal import SystemPackage
internal import TLSTransport
internal import TOMLKit

extension Configuration {
  /// Far beyond any configuration; a device or a growing log named by mistake is not read for ever.
  private static let longest = 1 << 20

  /// Reads and checks the file, and the keys that it names.
  /// - Parameter checkingKeys: false for what has to be done even when they cannot be used.
  public static func load(path: String, checkingKeys: Bool = true) throws(ConfigurationError) -> Configuration {
    let configuration = try parse(try contents(path), file: path)
    if checkingKeys { try configuration.checkKeys(file: path) }
    return configuration
  }

  /// Checks `text`; errors name `file`.
  public static func parse(_ text: String, file: String) throws(ConfigurationError) -> Configuration {
    let root: TOMLTable
    do {
      root = try TOMLTable(string: text)
    } catch let error as TOMLParseError {
      let place = error.source.begin
      throw ConfigurationError(
        file: file, problem: .syntax(line: place.line, column: place.column, reason: error.description))
    } catch {
      throw ConfigurationError(file: file, problem: .syntax(line: 1, column: 1, reason: "\(error)"))
    }
    let configuration = try Configuration(TableReader(root, file: file, known: ["node", "pair", "service"]))
    // The values that a table hands out point into it.
    return withExtendedLifetime(root) { configuration }
  }

  /// That every pair can show its certificate.
  private func checkKeys(file: String) throws(ConfigurationError) {
    for (index, pair) in pairs.enumerated() {
      guard case .tls(let trust) = pair.replication.security else { continue }
      func mistake(_ key: String, _ text: String) -> ConfigurationError {
        ConfigurationError(file: file, key: "pair[\(index)].replication.\(key)", problem: .conflict(text))
      }
      let identity: TLSIdentity
      do { identity = try trust.identity() } catch {
        switch error {
        case .certificate(let problem): throw mistake("certificate", "\(trust.certificate) \(problem)")
        case .key(let problem): throw mistake("key", "\(trust.key) \(problem)")
        }
      }
      if trust.peers.contains(identity.fingerprint) {
        throw mistake("peer_fingerprint", "is that of this host's own certificate; that of the other host's is needed")
      }
    }
  }

  private static func contents(_ path: String) throws(ConfigurationError) -> String {
    func failure(_ problem: ConfigurationError.Problem) -> ConfigurationError {
      ConfigurationError(file: path, problem: problem)
    }
    do {
      let descriptor = try FileDescriptor.open(path, .readOnly)
      defer { try? descriptor.close() }
      var bytes = [UInt8](repeating: 0, count: longest + 1)
      var count = 0
      while count < bytes.count {
        let read = try bytes.withUnsafeMutableBytes { try descriptor.read(into: .init(rebasing: $0[count...])) }
        if read == 0 { break }
        count += read
      }
      guard count <= longest else { throw failure(.tooLong(limit: longest)) }
      guard let text = String(validating: bytes[..<count], as: UTF8.self) else { throw failure(.notText) }
      return text
    } catch let error as ConfigurationError {
      throw error
    } catch let error as Errno {
      throw failure(.unreadable(error))
    } catch {
      throw failure(.unreadable(.ioError))
    }
  }

  private init(_ root: TableReader) throws(ConfigurationError) {
    let nodeKeys = [
      "name", "control", "control_mode", "control_group", "mark_mask", "queue_base", "adopt_timeout",
      "connections_per_user",
    ]
    guard let node = try root.table("node", known: nodeKeys) else {
      throw root.error("node", .missing(expected: "the table [node]"))
    }
    self.init(node: try Node(node), pairs: [])
    let readers = try root.tables(
      "pair", known: ["name", "addresses", "prefer", "on_stop", "replication", "heartbeat", "solo"])
    guard !readers.isEmpty else { throw root.error("pair", .missing(expected: "at least one table [[pair]]")) }
    for reader in readers { pairs.append(try Pair(reader)) }
    try checkPairs(readers)
    try checkResources(node)
    for reader in try root.tables("service", known: ["name", "on_exit", "hold", "connections"]) {
      let (name, service) = try Service.read(reader)
      guard services.updateValue(service, forKey: name) == nil else {
        throw reader.error("name", .conflict("there are two tables for service \"\(name)\""))
      }
    }
  }
}
