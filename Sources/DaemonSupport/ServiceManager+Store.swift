internal import CSystemd
internal import Glibc
package import SystemCalls
internal import SystemPackage

/// The service manager's file descriptor store (systemd.service(5), FileDescriptorStoreMax=): what is in there when the service ends
/// is passed to its next start, as long as that follows at once.
extension ServiceManager {
  /// Whether there is a service manager that could keep something.
  package static var isPresent: Bool { getenv("NOTIFY_SOCKET") != nil }

  /// Has the manager keep a duplicate, whatever becomes of what it refers to. That its store is too small it does not tell.
  /// - Parameter name: at most 255 characters of ASCII, no colon.
  package static func store(_ descriptor: Int32, name: String) throws(SystemCallError) {
    var numbers = [descriptor]
    let result = sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDNAME=\(name)\nFDPOLL=0", &numbers, 1)
    guard result >= 0 else {
      throw SystemCallError("sd_pid_notify_with_fds", on: name, errno: .init(rawValue: -result))
    }
  }

  /// Has the manager let go of what it keeps under a name.
  package static func forget(_ name: String) { _ = sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=\(name)") }

  /// Waits until the manager has read everything that was sent to it: what it reads after this process's end it cannot tell to be from
  /// the service. A few seconds at most.
  package static func awaitReading() { _ = sd_notify_barrier(0, 5_000_000) }

  /// What the manager has kept and passes to this process: once, the caller closes them.
  package static func takeStored() -> [(name: String, descriptor: Int32)] {
    var names: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
    let count = sd_listen_fds_with_names(1, &names)
    guard count > 0 else { return [] }
    var result: [(name: String, descriptor: Int32)] = []
    for index in 0..<Int(count) {
      let name = names?[index]
      result.append((name.map { String(cString: $0) } ?? "", 3 + Int32(index)))
      free(name)
    }
    free(names)
    return result
  }
}
