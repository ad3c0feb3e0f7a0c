internal import Glibc
internal import LinuxNetwork
internal import Logging
internal import Pairing
internal import SystemCalls
internal import SystemPackage

/// The highest epoch of a pair that this host was in or heard of, over all its starts. A host that was active, died and came back
/// without it could follow one that was active before it.
///
/// It lives in the directory that the service manager names (`StateDirectory=`, the variable STATE_DIRECTORY); without one
/// nothing is kept. Nobody waits for the disk: the file is there at once for a daemon that starts again, and on the disk shortly
/// after.
struct EpochFile {
  private let path: String?
  private let logger: Logger
  private(set) var epoch: UInt64 = 0
  private var hasFailed = false

  init(pair: String, node: String, directory: String?, logger: Logger) {
    self.logger = logger
    // Several directories are separated by colons. A pair's name may have any character.
    let directory = directory?.split(separator: ":").first
    let name = "\(node).\(pair)".utf8.map { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
        String(UnicodeScalar(byte))
      default: "%" + String(byte, radix: 16)
      }
    }.joined()
    path = directory.map { "\($0)/\(name).epoch" }
    guard let path, let text = Self.read(path) else { return }
    if let epoch = UInt64(text), epoch < Epoch.limit {
      self.epoch = epoch
    } else {
      logger.error(
        "the epoch on disk cannot be read; it counts from 0 again",
        metadata: ["file": "\(path)", "reason": "not an epoch"])
    }
  }

  /// Keeps `epoch` if it is a higher one.
  mutating func record(_ epoch: UInt64) {
    guard epoch > self.epoch else { return }
    self.epoch = epoch
    guard let path else { return }
    if let error = Self.write("\(epoch)\n", to: path) {
      if !hasFailed {
        logger.error("cannot keep the epoch on disk", metadata: ["file": "\(path)", "reason": "\(error)"])
      }
      hasFailed = true
    } else {
      hasFailed = false
    }
  }

  private static func read(_ path: String) -> Substring? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 32)
    let count = Glibc.read(file, &bytes, bytes.count)
    return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self).prefix { !$0.isNewline }
  }

  /// - Returns: why it could not.
  private static func write(_ text: String, to path: String) -> SystemCallError? {
    let fresh = path + ".new"
    let file = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard file >= 0 else { return SystemCallError("open", on: fresh, errno: Errno(rawValue: errno)) }
    let bytes = Array(text.utf8)
    guard Glibc.write(file, bytes, bytes.count) == bytes.count, rename(fresh, path) == 0 else {
      let error = SystemCallError("write", on: path, errno: Errno(rawValue: errno))
      close(file)
      return error
    }
    flushLater(file)
    return nil
  }

  /// Takes the descriptor over: a disk that hangs must not stop a takeover.
  private static func flushLater(_ file: Int32) {
    var thread = pthread_t()
    let argument = UnsafeMutableRawPointer(bitPattern: Int(file) + 1)
    let status = pthread_create(
      &thread, nil,
      { argument in
        let file = Int32(truncatingIfNeeded: Int(bitPattern: argument) - 1)
        fsync(file)
        close(file)
        return nil
      }, argument)
    if status == 0 { pthread_detach(thread) } else { close(file) }
  }
}
