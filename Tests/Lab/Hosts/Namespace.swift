internal import CLinux
internal import Glibc
internal import LinuxNetwork
internal import Synchronization
internal import SystemCalls
internal import SystemPackage

/// A network namespace: a host's own interfaces, addresses, routes, rules and sockets, on the kernel that all share.
///
/// It is called `hf<pid>-<number><role>`, so that two runs never meet and a person can look inside with `ip netns exec`. It is
/// removed, with every process that still runs in it, by `remove()`, when the value ends, and at each end of the process.
public final class Namespace: Sendable {
  public let name: String
  private let descriptor: Int32
  private let identity: UInt64
  private let token: Mutex<Janitor.Token?>

  private static let serial = Atomic<Int>(0)
  private static let sweep: Void = removeLeftovers()

  /// Makes a namespace whose loopback interface is up.
  /// - Parameter role: the end of its name, for people: `alpha`.
  public init(_ role: String) throws {
    guard getuid() == 0 else {
      throw LabError("network namespaces need root: run this as root (sudo make test, sudo make demo)")
    }
    _ = Namespace.sweep
    let number = Namespace.serial.add(1, ordering: .relaxed).newValue
    let name = "hf\(getpid())-\(number)\(role)"
    self.name = name
    try Tool.run("ip", "netns", "add", name)
    descriptor = try systemCall("open", on: "/run/netns/\(name)") {
      hf_open("/run/netns/\(name)", O_RDONLY | O_CLOEXEC, 0)
    }
    var status = stat()
    fstat(descriptor, &status)
    identity = UInt64(status.st_ino)
    let identity = identity
    token = Mutex(Janitor.add { Namespace.destroy(name: name, identity: identity) })
    try Tool.run("ip", "-n", name, "link", "set", "lo", "up")
  }

  deinit {
    remove()
    close(descriptor)
  }

  /// Kills what runs inside and removes the namespace. Sockets that this process opened inside keep it alive, nameless, until
  /// they are closed. Doing it twice does no harm.
  public func remove() {
    let token = token.withLock { token in
      defer { token = nil }
      return token
    }
    guard let token else { return }
    Namespace.destroy(name: name, identity: identity)
    Janitor.remove(token)
  }

  /// Runs `body` on a thread that is inside the namespace, and waits for it. A socket opened there belongs to the namespace
  /// for good, whichever thread uses it later; a process started there runs in it.
  public func run<Value>(_ body: () throws -> Value) throws -> Value {
    try DedicatedThread.run {
      try enter()
      return try body()
    }
  }

  /// Moves the calling thread into the namespace, for good: to be called on a thread of its own.
  public func enter() throws {
    _ = try systemCall("setns", on: name) { hf_setns(descriptor, Int32(HF_CLONE_NEWNET)) }
  }

  /// Runs `ip` on the namespace: `namespace.ip("addr", "add", …)`.
  public func ip(_ arguments: String...) throws {
    try Tool.run("ip", ["-n", name] + arguments)
  }

  /// Runs many `ip` commands in one process: one command a line, without the leading `ip`.
  public func ip(batch: String) throws {
    try Tool.run("ip", ["-n", name, "-batch", "-"], input: batch)
  }

  /// Writes a sysctl of the namespace: `net.ipv4.tcp_sack`.
  public func setSysctl(_ key: String, _ value: String) throws {
    try run { try Files.write(value, to: Namespace.sysctlPath(key)) }
  }

  /// Reads a sysctl of the namespace, without the line feed.
  public func sysctl(_ key: String) throws -> String {
    try run {
      let text = try Files.read(Namespace.sysctlPath(key))
      return text.last == "\n" ? String(text.dropLast()) : text
    }
  }

  /// The processes whose main thread is in the namespace, however they got there.
  public var processes: [Int32] { Namespace.processes(identity: identity) }

  /// SIGKILL to every process inside, at once: what a host's death is to its processes.
  public func killProcesses() {
    Namespace.kill(identity: identity)
  }

  private static func sysctlPath(_ key: String) -> String {
    "/proc/sys/" + String(key.map { $0 == "." ? "/" : $0 })
  }

  private static func processes(identity: UInt64) -> [Int32] {
    Files.list("/proc").compactMap { Int32($0) }.filter { pid in
      var status = stat()
      return pid != getpid() && stat("/proc/\(pid)/ns/net", &status) == 0 && UInt64(status.st_ino) == identity
    }
  }

  private static func kill(identity: UInt64) {
    // Again until none is left: one of them may have been forking.
    for _ in 0..<50 {
      let found = processes(identity: identity)
      if found.isEmpty { return }
      for pid in found { Glibc.kill(pid, SIGKILL) }
      usleep(2000)
    }
  }

  private static func destroy(name: String, identity: UInt64) {
    kill(identity: identity)
    _ = try? Tool.run("ip", "netns", "del", name)
  }

  /// Removes what this process has made and nothing refers to.
  /// - Returns: whether there was any.
  static func removeOwn() -> Bool {
    let names = Files.list("/run/netns").filter { $0.hasPrefix("hf\(getpid())-") }
    for name in names {
      var status = stat()
      if stat("/run/netns/\(name)", &status) == 0 { destroy(name: name, identity: UInt64(status.st_ino)) }
    }
    return !names.isEmpty
  }

  /// Removes the namespaces of laboratories that were killed before they could: those named after a process that is gone.
  public static func removeLeftovers() {
    for name in Files.list("/run/netns") where name.hasPrefix("hf") {
      guard let dash = name.firstIndex(of: "-"), let pid = Int32(name[name.index(name.startIndex, offsetBy: 2)..<dash]),
        Glibc.kill(pid, 0) == -1, errno == ESRCH
      else { continue }
      var status = stat()
      guard stat("/run/netns/\(name)", &status) == 0 else { continue }
      destroy(name: name, identity: UInt64(status.st_ino))
    }
  }
}
