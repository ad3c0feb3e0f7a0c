internal import Glibc

/// A process's descriptor that refers to a socket.
public struct SocketHolder: Hashable, Codable, Sendable {
  public var process: Int32
  public var descriptor: Int32

  public init(process: Int32, descriptor: Int32) {
    self.process = process
    self.descriptor = descriptor
  }

  /// Whether it still does: one readlink(2) of /proc/PID/fd/N.
  public func holds(_ inode: UInt64) -> Bool {
    SocketHolders.inode(atLink: "/proc/\(process)/fd/\(descriptor)") == inode
  }
}

/// Who holds a socket. The kernel tells nobody that a descriptor was closed as long as another one is open, so one has to look:
/// into /proc/PID/fd (proc_pid_fd(5)), which for processes of other users takes CAP_SYS_PTRACE.
public enum SocketHolders {
  /// The number by which /proc names a socket; nil when the descriptor is none.
  public static func inode(of socket: Int32) -> UInt64? {
    var status = stat()
    guard fstat(socket, &status) == 0 else { return nil }
    return UInt64(status.st_ino)
  }

  /// What tells a process from a later one with its number: when it started, in clock ticks since boot. nil when it is gone, or
  /// dead and not waited for.
  public static func startTime(of process: Int32) -> UInt64? {
    guard let text = contents("/proc/\(process)/stat"), let end = text.lastIndex(of: ")") else { return nil }
    // proc_pid_stat(5): the name in parentheses may contain anything; field 3, the state, follows it; field 22 is starttime.
    let fields = text[text.index(after: end)...].split(separator: " ")
    guard fields.count > 19, fields[0] != "Z", fields[0] != "X" else { return nil }
    return UInt64(fields[19])
  }

  static func inode(atLink path: String) -> UInt64? {
    // "socket:[4026531840]"
    var target = [CChar](repeating: 0, count: 64)
    let count = readlink(path, &target, target.count)
    let prefix = "socket:[".utf8.map { CChar($0) }
    guard count > prefix.count, target.starts(with: prefix), target[count - 1] == CChar(UInt8(ascii: "]")) else {
      return nil
    }
    return UInt64(String(decoding: target[prefix.count..<count - 1].map { UInt8(bitPattern: $0) }, as: UTF8.self))
  }

  static func numbers(in folder: String) -> (numbers: [Int32], isReadable: Bool) {
    guard let stream = opendir(folder) else { return ([], errno == ENOENT || errno == ESRCH) }
    defer { closedir(stream) }
    var numbers: [Int32] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if let number = Int32(name) { numbers.append(number) }
    }
    return (numbers, true)
  }

  private static func contents(_ path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 1024)
    let count = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
    return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
  }
}

/// A look through the descriptors of all processes but our own for some sockets, a bounded number of descriptors at a time.
public struct HolderScan {
  private var processes: [Int32]
  private var current: (process: Int32, descriptors: [Int32])?
  /// Sockets that were not met yet.
  public private(set) var missing: Set<UInt64>
  public private(set) var found: [UInt64: SocketHolder] = [:]
  /// A process could not be looked into: what is missing may be there.
  public private(set) var isBlind = false

  /// - Parameters:
  ///   - likely: processes to look into first.
  ///   - keepers: processes whose descriptors do not count: they keep ours.
  public init(for sockets: Set<UInt64>, likely: Set<Int32>, keepers: Set<Int32> = []) {
    missing = sockets
    let all = Set(SocketHolders.numbers(in: "/proc").numbers).subtracting(keepers).subtracting([getpid()])
    // Worked off from the end.
    processes = Array(all.subtracting(likely)) + Array(likely.intersection(all))
  }

  /// Goes on.
  /// - Returns: whether it is done: everything is found, or there is nowhere left to look.
  public mutating func advance(descriptors budget: Int) -> Bool {
    var budget = budget
    while !missing.isEmpty, budget > 0 {
      guard let (process, numbers) = current ?? next() else { return true }
      var descriptors = numbers
      // Opening a process's table costs about what a descriptor does.
      budget -= 1
      while budget > 0, !missing.isEmpty, let descriptor = descriptors.popLast() {
        budget -= 1
        guard let inode = SocketHolders.inode(atLink: "/proc/\(process)/fd/\(descriptor)"), missing.remove(inode) != nil
        else { continue }
        found[inode] = SocketHolder(process: process, descriptor: descriptor)
      }
      current = descriptors.isEmpty ? nil : (process, descriptors)
    }
    return missing.isEmpty
  }

  private mutating func next() -> (process: Int32, descriptors: [Int32])? {
    guard let process = processes.popLast() else { return nil }
    let table = SocketHolders.numbers(in: "/proc/\(process)/fd")
    if !table.isReadable { isBlind = true }
    return (process, table.numbers)
  }
}
