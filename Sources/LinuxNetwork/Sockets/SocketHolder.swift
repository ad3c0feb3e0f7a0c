internal import Glibc
public import SystemCalls
internal import SystemPackage

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
  public static func startTime(of process: Int32) -> UInt64? { (try? start(of: process)) ?? nil }

  /// - Throws: why it cannot be told.
  private static func start(of process: Int32) throws(SystemCallError) -> UInt64? {
    guard let text = try contents("/proc/\(process)/stat"), let end = text.lastIndex(of: ")") else { return nil }
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

  /// Whether there is no such process any more, or, where it is known when that one started, another one has its number. False when
  /// that cannot be told.
  public static func isGone(_ process: Int32, startedAt start: UInt64?) -> Bool {
    do throws(SystemCallError) {
      guard let now = try self.start(of: process) else { return true }
      return start.map { $0 != now } ?? false
    } catch {
      // Too many open files. This needs none, and takes one that is dead and not waited for to be alive.
      return kill(process, 0) != 0 && errno == ESRCH
    }
  }

  /// - Throws: why it cannot be told; a process that is gone has no descriptors.
  static func numbers(in folder: String) throws(SystemCallError) -> [Int32] {
    guard let stream = opendir(folder) else {
      let reason = Errno(rawValue: errno)
      if isAbsence(reason) { return [] }
      throw SystemCallError("opendir", on: folder, errno: reason)
    }
    defer { closedir(stream) }
    var numbers: [Int32] = []
    while let entry = readdir(stream) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if let number = Int32(name) { numbers.append(number) }
    }
    return numbers
  }

  /// The first kilobyte of a file; nil when it is gone, with its process.
  private static func contents(_ path: String) throws(SystemCallError) -> String? {
    do throws(SystemCallError) {
      let file = Descriptor(owning: try systemCall("open", on: path) { open(path, O_RDONLY | O_CLOEXEC) })
      var bytes = [UInt8](repeating: 0, count: 1024)
      let count = try systemCall("read", on: path) {
        bytes.withUnsafeMutableBytes { read(file.number, $0.baseAddress, $0.count) }
      }
      return String(decoding: bytes[..<count], as: UTF8.self)
    } catch {
      if isAbsence(error.errno) { return nil }
      throw error
    }
  }

  private static func isAbsence(_ reason: Errno) -> Bool {
    reason == .noSuchFileOrDirectory || reason == .noSuchProcess
  }
}

/// A look through the descriptors of all processes but our own for some sockets, a bounded number of descriptors at a time.
public struct HolderScan {
  private var processes: [Int32]
  private var current: (process: Int32, descriptors: [Int32])?
  /// Sockets that were not met yet.
  public private(set) var missing: Set<UInt64>
  public private(set) var found: [UInt64: SocketHolder] = [:]
  /// Why a process could not be looked into: what is missing may be there.
  public private(set) var blindness: SystemCallError?

  /// - Parameter likely: processes to look into first.
  public init(for sockets: Set<UInt64>, likely: Set<Int32>) {
    missing = sockets
    do throws(SystemCallError) {
      let all = Set(try SocketHolders.numbers(in: "/proc")).subtracting([getpid()])
      // Worked off from the end.
      processes = Array(all.subtracting(likely)) + Array(likely.intersection(all))
    } catch {
      processes = []
      blindness = error
    }
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
    do throws(SystemCallError) {
      return (process, try SocketHolders.numbers(in: "/proc/\(process)/fd"))
    } catch {
      blindness = error
      return (process, [])
    }
  }
}
