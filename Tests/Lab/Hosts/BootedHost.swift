internal import Glibc
internal import LinuxNetwork
internal import Synchronization

/// A host that runs systemd: a container (systemd-nspawn(1)) in the network namespace of a topology's host. Nothing that it writes
/// outlives it.
public final class BootedHost: Sendable {
  public let name: HostName
  private let supervisor: LabProcess
  /// The container's init, as this host numbers it.
  private let leader: Int32
  private let groups: [String]
  private let token: Janitor.Token

  /// Starts it and waits until it has booted.
  public init(_ name: HostName, in topology: Topology) throws {
    self.name = name
    let tree = try BootedTree.get()
    let namespace = topology[name]
    let groups = try BootedHost.makeGroups("holdfast-\(namespace.name)")
    self.groups = groups
    token = Janitor.add { BootedHost.removeGroups(groups) }
    let enter = groups.map { "echo $$ > \($0)/cgroup.procs && " }.joined()
    supervisor = try LabProcess.start(
      "/bin/sh",
      [
        "-c", enter + "exec \"$0\" \"$@\"", try Tool.path(of: "systemd-nspawn"), "--quiet", "--boot",
        // There may be no systemd on this host to talk to.
        "--register=no", "--keep-unit", "--machine=\(name)", "--hostname=\(name)", "--console=pipe",
        "--directory=\(tree.path)", "--volatile=overlay", "--bind-ro=\(tree.swiftLibraries)",
        "--bind-ro=\(tree.products):/products", "--network-namespace-path=/run/netns/\(namespace.name)",
        "--capability=CAP_NET_ADMIN,CAP_NET_RAW",
      ],
      // Both run from the same tree, and write to none.
      environment: ["SYSTEMD_NSPAWN_LOCK": "0"], logs: try Scratch.subfolder("\(name)-booted"), name: "console")
    let supervisor = supervisor
    func explanation() -> String { "\n" + supervisor.standardOutput.suffix(2000) + supervisor.standardError }
    let leader = try BootedHost.leader(of: supervisor, explanation)
    self.leader = leader
    try wait(for: "\(name) to boot: \(explanation())", until: .seconds(60), every: 100) {
      guard supervisor.isRunning else { throw LabError("\(name) ended: \(explanation())") }
      guard let state = try? run("systemctl", "is-system-running") else { return false }
      return state.hasPrefix("running")
    }
  }

  deinit {
    crash()
    _ = try? supervisor.wait(until: .seconds(10))
    BootedHost.removeGroups(groups)
    Janitor.remove(token)
  }

  /// Ends everything that runs on it at once.
  public func crash() {
    if supervisor.isRunning { Glibc.kill(leader, SIGKILL) }
  }

  /// The control socket of its daemon, as this host sees it.
  public var controlPath: String { "/proc/\(leader)/root/run/holdfast/control.sock" }

  /// Runs a command on it.
  @discardableResult
  public func run(_ command: [String], input: String? = nil) throws -> String {
    try Tool.run(
      "nsenter", ["--target", "\(leader)", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"] + command,
      input: input)
  }

  @discardableResult
  public func run(_ command: String...) throws -> String { try run(command) }

  public func write(_ text: String, to path: String) throws { try run(["cp", "/dev/stdin", path], input: text) }

  /// A property of a unit, as `systemctl show` prints it.
  public func property(_ property: String, of unit: String) throws -> String {
    let value = try run("systemctl", "show", "--value", "--property=\(property)", unit)
    return value.last == "\n" ? String(value.dropLast()) : value
  }

  /// The journal of a unit, one JSON object a line.
  public func journal(of unit: String, _ matches: String...) throws -> String {
    // What was sent to the journal a moment ago is not in its files yet.
    try run("journalctl", "--sync")
    return try run(["journalctl", "--unit=\(unit)", "--output=json", "--no-pager"] + matches)
  }

  // MARK: Processes and control groups

  /// systemd-nspawn's first child makes the container and starts its init, which is then the only one.
  private static func leader(of supervisor: LabProcess, _ explanation: () -> String) throws -> Int32 {
    var leader: Int32?
    try wait(for: "systemd-nspawn to start a container: \(explanation())", until: .seconds(20)) {
      guard supervisor.isRunning else { throw LabError("systemd-nspawn ended: \(explanation())") }
      let children = (try? Files.read("/proc/\(supervisor.pid)/task/\(supervisor.pid)/children")) ?? ""
      leader = children.split(separator: " ").lazy.compactMap { Int32($0) }.first { child in
        (try? Files.read("/proc/\(child)/comm")) == "systemd\n"
      }
      return leader != nil
    }
    guard let leader else { throw LabError("systemd-nspawn has started nothing") }
    return leader
  }

  /// Each container needs control groups of its own, or the systemds in them would take each other's processes for theirs.
  private static func makeGroups(_ name: String) throws -> [String] {
    let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"].filter {
      access("\($0)/cgroup.procs", F_OK) == 0
    }
    guard !roots.isEmpty else {
      throw LabError("there are no control groups in /sys/fs/cgroup: booted hosts need them")
    }
    return try roots.map { root in
      let path = "\(root)/\(name)"
      try Files.makeFolder(path)
      return path
    }
  }

  private static func removeGroups(_ groups: [String]) {
    for group in groups {
      // Innermost first; what still ends in one of them is gone in a moment.
      for _ in 0..<50 {
        _ = try? Tool.run("find", [group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"])
        if access(group, F_OK) != 0 { break }
        usleep(20_000)
      }
    }
  }
}
