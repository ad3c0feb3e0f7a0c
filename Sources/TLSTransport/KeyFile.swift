internal import COpenSSL
internal import Glibc
internal import SystemPackage

/// Files with keys and certificates.
enum KeyFile {
  /// Far more than a key or a chain of certificates takes.
  private static let limit = 1 << 16

  /// - Parameter isSecret: refuse it when others could have read or replaced it. The group may read: a daemon that is not root
  ///   gets its key that way.
  static func read(_ path: String, isSecret: Bool) throws(TLSError) -> [UInt8] {
    do {
      let file = try FileDescriptor.open(path, .readOnly, options: .closeOnExec)
      defer { try? file.close() }
      var status = stat()
      guard fstat(file.rawValue, &status) == 0 else { throw Errno(rawValue: errno) }
      guard status.st_mode & S_IFMT == S_IFREG else { throw Errno.invalidArgument }
      if isSecret, status.st_mode & 0o027 != 0 {
        throw TLSError.permissions(mode: status.st_mode & 0o777)
      }
      var bytes = [UInt8](repeating: 0, count: limit)
      var count = 0
      while count < bytes.count {
        let read = try bytes.withUnsafeMutableBytes { try file.read(into: .init(rebasing: $0[count...])) }
        if read == 0 { break }
        count += read
      }
      defer { bytes.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) } }
      return Array(bytes[..<count])
    } catch let error as TLSError {
      throw error
    } catch let error as Errno {
      throw .unreadable(error)
    } catch {
      throw .unreadable(.ioError)
    }
  }

  /// Writes a file that is either there as a whole or not at all.
  /// - Parameters:
  ///   - overwrite: an existing one is replaced instead of refused (EEXIST).
  ///   - owner: user and group to give it to.
  static func write(
    _ bytes: [UInt8], to path: String, mode: UInt32, overwrite: Bool, owner: (user: UInt32, group: UInt32)?
  ) throws(TLSError) {
    let temporary = "\(path).new-\(getpid())"
    do {
      let file = try FileDescriptor.open(
        temporary, .writeOnly, options: [.create, .exclusiveCreate, .closeOnExec],
        permissions: FilePermissions(rawValue: CModeT(mode)))
      defer {
        try? file.close()
        unlink(temporary)
      }
      // Whatever the umask says.
      guard fchmod(file.rawValue, mode) == 0 else { throw Errno(rawValue: errno) }
      if let owner, fchown(file.rawValue, owner.user, owner.group) != 0 { throw Errno(rawValue: errno) }
      try file.writeAll(bytes)
      guard fsync(file.rawValue) == 0 else { throw Errno(rawValue: errno) }
      // link(2) fails where rename(2) would replace.
      guard (overwrite ? rename(temporary, path) : link(temporary, path)) == 0 else { throw Errno(rawValue: errno) }
    } catch let error as Errno {
      throw .unwritable(error)
    } catch {
      throw .unwritable(.ioError)
    }
  }
}
