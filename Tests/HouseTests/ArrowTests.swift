import Testing

/// Who may import whom. The exact part of the daemon can be tested in virtual time because it can reach neither the kernel nor
/// a clock; this keeps it so.
@Suite struct ArrowTests {
  struct Target: Sendable, CustomTestStringConvertible {
    let folder: String
    let mayImport: Set<String>
    var testDescription: String { folder }
  }

  static let pure = [
    Target(folder: "Sources/TCPModel", mayImport: []),
    Target(folder: "Sources/Replication", mayImport: ["TCPModel"]),
    Target(folder: "Sources/Pairing", mayImport: []),
    Target(folder: "Sources/HostCore", mayImport: ["Pairing", "Replication", "TCPModel"]),
  ]
  static let edges = [
    Target(folder: "Sources/SystemCalls", mayImport: ["CLinux", "Glibc", "SystemPackage"]),
    Target(
      folder: "Sources/LinuxNetwork",
      mayImport: [
        "CLinux", "CNetfilter", "CNetlink", "Glibc", "Synchronization", "SystemCalls", "SystemPackage", "TCPModel",
      ]),
    Target(
      folder: "Sources/TLSTransport", mayImport: ["COpenSSL", "Glibc", "LinuxNetwork", "SystemCalls", "SystemPackage"]),
    // An application that links the library gets no packet queues, no repair mode and no netlink.
    Target(
      folder: "Sources/ControlAPI",
      mayImport: ["CLinux", "FoundationEssentials", "Glibc", "SystemCalls", "SystemPackage"]
    ),
    Target(
      folder: "Sources/Holdfast",
      mayImport: [
        "CLinux", "ControlAPI", "FoundationEssentials", "Glibc", "Synchronization", "SystemCalls", "SystemPackage",
      ]),
    Target(
      folder: "Examples/file-server",
      mayImport: [
        "ArgumentParser", "FoundationEssentials", "Glibc", "Holdfast", "Synchronization", "SystemCalls",
        "SystemPackage",
      ]),
    Target(
      folder: "Sources/DaemonSupport",
      mayImport: [
        "CSystemd", "Glibc", "LinuxNetwork", "Logging", "SystemCalls", "SystemPackage", "TCPModel", "TOMLKit",
      ]),
    Target(
      folder: "Sources/HostConfiguration",
      mayImport: [
        "CLinux", "ControlAPI", "DaemonSupport", "FoundationEssentials", "Glibc", "LinuxNetwork", "Logging",
        "SystemCalls", "SystemPackage", "TCPModel", "TLSTransport",
      ]),
    Target(
      folder: "Sources/HoldfastDaemon",
      mayImport: [
        "CCurl", "CLinux", "CSystemd", "ControlAPI", "DaemonSupport", "DequeModule", "FoundationEssentials", "Glibc",
        "HeapModule", "HostConfiguration", "HostCore", "LinuxNetwork", "Logging", "Pairing", "Replication",
        "Synchronization", "SystemCalls", "SystemPackage", "TCPModel", "TLSTransport",
      ]),
    Target(
      folder: "Sources/HoldfastProxy",
      mayImport: [
        "CLinux", "ControlAPI", "DaemonSupport", "Glibc", "Holdfast", "LinuxNetwork", "Logging", "NIOCore", "NIOPosix",
        "Synchronization", "SystemCalls", "SystemPackage", "TCPModel",
      ]),
    Target(folder: "Sources/holdfastd", mayImport: ["ArgumentParser", "ControlAPI", "HoldfastDaemon", "Logging"]),
    Target(folder: "Sources/holdfast-proxy", mayImport: ["ArgumentParser", "ControlAPI", "HoldfastProxy", "Logging"]),
    Target(
      folder: "Sources/holdfastctl",
      mayImport: [
        "ArgumentParser", "ControlAPI", "DaemonSupport", "FoundationEssentials", "Glibc", "Holdfast",
        "HostConfiguration", "LinuxNetwork", "Logging", "SystemCalls", "SystemPackage", "TLSTransport",
      ]),
  ]

  @Test(arguments: pure + edges)
  func aTargetImportsOnlyWhatItMay(_ target: Target) throws {
    let files = Tree.files(target.folder)
    try #require(!files.isEmpty, "\(target.folder) is empty")
    for file in files {
      let strangers = file.imports.subtracting(target.mayImport)
      #expect(strangers.isEmpty, "\(file) imports \(strangers.sorted().joined(separator: ", "))")
    }
  }

  @Test func everyTargetHasARule() {
    let folders = Set(Tree.files("Sources").map { $0.path.split(separator: "/").prefix(2).joined(separator: "/") })
    #expect(folders.subtracting((Self.pure + Self.edges).map(\.folder)).isEmpty)
  }

  /// What the standard library offers without an import and a pure target must not touch.
  @Test(arguments: [
    "ContinuousClock", "SuspendingClock", "Task.sleep", "Task {", "print(", "readLine(", ".random(", "CommandLine",
    "RandomNumberGenerator", "nonisolated(unsafe)", "@unchecked Sendable",
  ])
  func aPureTargetHasNoClockNoOutputNoChance(_ word: String) {
    for file in Self.pure.flatMap({ Tree.files($0.folder) }) {
      for line in file.code where line.text.contains(word) {
        Issue.record("\(file):\(line.number) uses \(word)")
      }
    }
  }

  /// The daemon and the simulation carry effects out. What they would decide beside the core would be proven for one of them
  /// alone.
  @Test(arguments: [
    "machine.handle(", "source.attach(", "source.detach(", "source.receive(", "source.pump(", "gate.open(",
    "gate.close(",
    "gate.commit(", "gate.release(", "gate.forgetAll(", "replica.fold(", "replica.reset(", "takeLedgers(",
  ])
  func onlyTheCoreDecides(_ call: String) throws {
    let files = Tree.files("Tests/Simulation") + Tree.files("Sources/HoldfastDaemon")
    try #require(files.count > 50)
    // A packet path that was broken on purpose forgets what waits.
    let exempt = ["Tests/Simulation/Node+Packets.swift gate.forgetAll("]
    for file in files where !exempt.contains("\(file.path) \(call)") {
      for line in file.code where line.text.contains(call) {
        Issue.record("\(file):\(line.number) calls \(call)…), which is the core's")
      }
    }
  }

  /// FoundationEssentials is 8 MB of a static binary, Foundation 50.
  @Test func nothingThatIsShippedImportsFoundation() {
    for file in Tree.files("Sources") + Tree.files("Examples") {
      #expect(file.imports.isDisjoint(with: ["Foundation", "FoundationNetworking", "Dispatch"]), "\(file)")
    }
  }
}
