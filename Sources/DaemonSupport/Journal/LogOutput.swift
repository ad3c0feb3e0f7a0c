internal import CSystemd
internal import Glibc

/// Where log records go. Both ways are one system call for a record, so that records of different threads never mix.
package enum LogOutput: Sendable {
  case journal
  /// Lines to this descriptor.
  case lines(Int32)

  /// The journal if the service manager tied standard error to it, else lines on standard error; never both.
  package static var standard: LogOutput { isJournal(STDERR_FILENO) ? .journal : .lines(STDERR_FILENO) }

  /// Whether `descriptor` is the stream that $JOURNAL_STREAM names by device and inode (systemd.exec(5)). The variable alone
  /// says nothing: children inherit it, also those whose output goes elsewhere.
  package static func isJournal(
    _ descriptor: Int32, variable: String? = getenv("JOURNAL_STREAM").map { String(cString: $0) }
  )
    -> Bool
  {
    let parts = (variable ?? "").split(separator: ":").map { UInt64($0) }
    guard parts.count == 2, let device = parts[0], let inode = parts[1] else { return false }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { return false }
    return UInt64(status.st_dev) == device && UInt64(status.st_ino) == inode
  }

  package func write(_ record: LogRecord) {
    switch self {
    case .journal:
      // The journal refuses what it cannot hold (a full disk, an entry that is too long); the message must not vanish.
      if Self.send(record.journalFields) < 0 { Self.write(record.text, to: STDERR_FILENO) }
    case .lines(let descriptor): Self.write(record.text, to: descriptor)
    }
  }

  package static func write(_ line: String, to descriptor: Int32) {
    var line = line + "\n"
    line.withUTF8 { bytes in
      var rest = UnsafeRawBufferPointer(bytes)
      while !rest.isEmpty {
        let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
        // A log that nobody reads any more, or that is full, must not stop the daemon.
        guard count > 0 || (count < 0 && errno == EINTR) else { return }
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(max(0, count)))
      }
    }
  }

  private static func send(_ fields: [String]) -> Int32 {
    let bytes = fields.map { Array($0.utf8) }
    var storage = bytes.flatMap(\.self)
    return storage.withUnsafeMutableBytes { buffer in
      var vectors: [iovec] = []
      var offset = 0
      for field in bytes {
        vectors.append(iovec(iov_base: buffer.baseAddress.map { $0 + offset }, iov_len: field.count))
        offset += field.count
      }
      return sd_journal_sendv(vectors, Int32(vectors.count))
    }
  }
}
