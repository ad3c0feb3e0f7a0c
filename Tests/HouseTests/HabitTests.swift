import Testing

@Suite struct HabitTests {
  private static let sources = Tree.files("Sources") + Tree.files("Examples")
  private static let all = sources + Tree.files("Tests")

  @Test func noFileIsTooLongToRead() {
    #expect(!Self.all.isEmpty)
    for file in Self.all { #expect(file.lines.count <= 500, "\(file) has \(file.lines.count) lines") }
  }

  /// A type that has the name of its target hides it: nobody could qualify a name with the target's any more.
  @Test func noTypeHasTheNameOfATarget() {
    let targets = Set(Self.sources.compactMap { $0.path.split(separator: "/").dropFirst().first.map(String.init) })
    #expect(targets.isSuperset(of: ["Replication", "TLSTransport", "HoldfastDaemon"]))
    for file in Self.sources {
      for line in file.code {
        for type in line.text.matches(of: /\b(?:struct|class|enum|protocol|actor|typealias) (\w+)/) {
          if targets.contains(String(type.output.1)) { Issue.record("\(file):\(line.number) is named as a target is") }
        }
      }
    }
  }

  /// A daemon that carries ten thousand connections does not end because of one.
  @Test func nothingThatIsShippedTraps() {
    for file in Self.sources {
      for line in file.code {
        for trap in ["try!", "fatalError(", "as!"] where line.text.contains(trap) {
          Issue.record("\(file):\(line.number) uses \(trap)")
        }
      }
    }
  }

  /// Tests wait for what they expect. A sleep is too short on a slow machine and too long on all others. (The laboratory's
  /// own wait looks again every few milliseconds; that is what the tests wait with.)
  @Test func noTestSleeps() {
    let suites = Tree.files("Tests").filter { $0.path.split(separator: "/")[1].hasSuffix("Tests") }
    for file in suites where !file.path.hasPrefix("Tests/HouseTests/") {
      for line in file.code {
        for call in ["usleep(", "nanosleep(", "Task.sleep", " sleep("] where line.text.contains(call) {
          Issue.record("\(file):\(line.number) calls \(call)")
        }
      }
    }
  }

  @Test func theReadmeNamesTheTwoCommands() throws {
    let readme = try #require(Tree.text("README.md"), "there is no README.md")
    for command in ["make test", "make demo"] {
      let isNamed = readme.contains(command)
      #expect(isNamed, "README.md does not name \(command)")
    }
  }

  /// The unit names a program's options and files, and nothing compares them when it is written.
  @Test func theUnitFitsTheDaemon() throws {
    let unit = try #require(Tree.text("systemd/holdfastd.service"))
    let lines = unit.split(separator: "\n")
    for needed in ["Type=notify", "RuntimeDirectory=holdfast", "User=holdfast", "ExecStart=/usr/sbin/holdfastd"] {
      #expect(lines.contains { $0 == needed }, "\(needed)")
    }
    #expect(lines.contains { $0.hasPrefix("WatchdogSec=") })
    #expect(!lines.contains { $0.hasPrefix("PrivateUsers=yes") }, "repair mode needs the user namespace of the network")
    let proxy = try #require(Tree.text("systemd/holdfast-proxy.service")).split(separator: "\n")
    for needed in ["Type=notify", "User=holdfast", "ExecStart=/usr/sbin/holdfast-proxy"] {
      #expect(proxy.contains { $0 == needed }, "\(needed)")
    }
    let account = try #require(Tree.text("systemd/holdfast.sysusers"))
    #expect(account.contains("u holdfast "))
  }
}
