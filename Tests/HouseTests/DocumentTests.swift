import Testing

/// Documents that must say what the code says.
@Suite struct DocumentTests {
  private func required(_ path: String) throws -> String { try #require(Tree.text(path), "there is no \(path)") }

  @Test func everyEventIsInTheOperatorsDocument() throws {
    let source = try required("Sources/HostConfiguration/EventID.swift")
    let ids = source.matches(of: /case \w+ = "([0-9a-f]{32})"/).map { String($0.output.1) }
    #expect(ids.count >= 14)
    let document = try required("docs/operations.md")
    for id in ids {
      let isThere = document.contains("`\(id)`")
      #expect(isThere, "\(id) is not in docs/operations.md")
    }
    #expect(Set(ids).count == ids.count, "an id stands for two kinds of events")
  }

  @Test func everyKeyIsInTheDocumentAndInTheSample() throws {
    var keys: Set<Substring> = []
    for file in Tree.files("Sources/HostConfiguration/Configuration") {
      for list in file.text.matches(of: /(?:known: |Keys = )\[([^\]]*)\]/) {
        keys.formUnion(list.output.1.matches(of: /"(\w+)"/).map(\.output.1))
      }
    }
    #expect(keys.isSuperset(of: ["node", "pair", "name", "dead_after", "expose_after", "mark_mask"]))
    let document = try required("docs/configuration.md")
    let sample = try required("etc/holdfast/holdfastd.toml")
    for key in keys {
      let isExplained = document.contains("`\(key)`") || document.contains("\(key)]")
      #expect(isExplained, "\(key) is not in docs/configuration.md")
      let isShown = sample.contains("\(key) =") || sample.contains("\(key)]")
      #expect(isShown, "\(key) is not in the sample")
    }
  }

  /// The page that says what survives names the tests that show it. A test that was renamed or removed shows nothing.
  @Test func everyTestThatTheLimitsNameExists() throws {
    let document = try required("docs/limits.md") + required("docs/fencing.md")
    let names = document.matches(of: /`(\w+Tests)\.(\w+)`/).map { (suite: $0.output.1, test: $0.output.2) }
    #expect(names.count > 50)
    let files = Tree.files("Tests")
    for (suite, test) in names {
      let isThere = files.contains { file in
        file.text.contains("struct \(suite) {") && file.code.contains { $0.text.contains("func \(test)(") }
      }
      #expect(isThere, "the documents name \(suite).\(test), which does not exist")
    }
  }

  /// Every option that the kernel layer copies, or uses, is on that page.
  @Test func everySocketOptionIsInTheLimits() throws {
    let document = try required("docs/limits.md")
    let source = try required("Sources/LinuxNetwork/Sockets/SocketOptionsCopy.swift")
    let names = try required("Sources/LinuxNetwork/Sockets/SocketOption.swift")
      .matches(of: /static let (\w+) = \w+\(.*"(\w+)"\)/).map { (name: $0.output.1, option: $0.output.2) }
    #expect(names.count > 40)
    for (name, option) in names where source.contains(", .\(name))") {
      let isThere = document.contains(option)
      #expect(isThere, "docs/limits.md does not say what becomes of \(option)")
    }
  }

  @Test func everyKeyOfTheProxyIsInItsDocumentAndInTheSample() throws {
    let source = try required("Sources/HoldfastProxy/Configuration/ProxyConfigurationLoader.swift")
    let keys = source.matches(of: /Keys = \[([^\]]*)\]/).flatMap { list in
      list.output.1.matches(of: /"(\w+)"/).map(\.output.1)
    }
    #expect(keys.count >= 20)
    let document = try required("docs/proxy.md")
    let sample = try required("etc/holdfast/holdfast-proxy.toml")
    for key in keys {
      let isExplained = document.contains("`\(key)`") || document.contains("\(key)]")
      #expect(isExplained, "\(key) is not in docs/proxy.md")
      let isShown = sample.contains("\(key) =") || sample.contains("\(key)]")
      #expect(isShown, "\(key) is not in the sample")
    }
  }

  /// Fields of the journal are an interface: an operator who looks for one finds it explained.
  @Test func everyFieldIsInTheOperatorsDocument() throws {
    let document = try required("docs/operations.md")
    var keys: Set<Substring> = []
    for file in Tree.files("Sources/HoldfastDaemon") + Tree.files("Sources/HostConfiguration") {
      for metadata in file.text.matches(of: /metadata: \[([^\]]*)\]/) {
        keys.formUnion(metadata.output.1.matches(of: /"(\w+)": "/).map(\.output.1))
      }
    }
    #expect(keys.contains("pair") && keys.contains("reason"))
    for key in keys {
      let isExplained = document.contains("`HOLDFAST_\(key.uppercased())`")
      #expect(isExplained, "docs/operations.md does not explain HOLDFAST_\(key.uppercased())")
    }
  }

  /// The protocol is an interface too: frames, options and heartbeat fields by their numbers.
  @Test func everyNumberOfTheProtocolIsInItsDocument() throws {
    let document = try required("docs/protocol.md")
    let frames = try required("Sources/Replication/Wire/Frame.swift")
    let types = frames.matches(of: /case (\w+) = (\d+)/).map { ($0.output.1, $0.output.2) }
    #expect(types.count >= 14)
    for (name, number) in types {
      let isThere = document.contains("| \(number) | `\(name)` |")
      #expect(isThere, "frame type \(number), \(name), is not in docs/protocol.md")
    }
    let options = try required("Sources/TCPModel/ConnectionState.swift")
      .matches(of: /case \w+ = (\d+)/).map(\.output.1)
    #expect(options.count >= 22)
    for number in options {
      let isThere =
        document.contains("| \(number) TCP_") || document.contains("| \(number) SO_")
        || document.contains("| \(number) IP")
      #expect(isThere, "socket option \(number) is not in docs/protocol.md")
    }
    for enumeration in ["Role", "ReplicationPhase"] {
      let source = try required("Sources/Pairing/Role.swift")
      let body = try #require(source.split(separator: "public enum \(enumeration):").dropFirst().first)
      for match in body.prefix(while: { $0 != "}" }).matches(of: /case (\w+) = (\d+)/) {
        let isThere = document.contains("\(match.output.2) \(match.output.1)")
        #expect(isThere, "\(enumeration) \(match.output.1) is not in docs/protocol.md")
      }
    }
  }

  @Test func theProtocolsDocumentNamesItsVersions() throws {
    let document = try required("docs/protocol.md")
    for path in ["Sources/Replication/Wire/Hello.swift", "Sources/Pairing/Heartbeat.swift"] {
      let source = try required(path)
      for word in ["major", "minor"] {
        let version = try #require(
          source.firstMatch(of: try Regex("\(word)Version: UInt16 = (\\d+)", as: (Substring, Substring).self))?.output.1
        )
        let isThere = document.contains("| 2 | \(word) version, \(version) |")
        #expect(isThere, "\(path): \(word) version \(version) is not in docs/protocol.md")
      }
    }
  }
}
