internal import Glibc

/// Where new connections come in.
struct Listener {
  private let socket: Int32

  /// - Parameter address: IPv4 or IPv6; nil for all of both. It may be one that this host has only after a takeover.
  init(address: String?, port: UInt16) throws {
    var hints = addrinfo()
    hints.ai_flags = AI_NUMERICHOST | AI_PASSIVE
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var found: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(address ?? "::", "\(port)", &hints, &found)
    guard code == 0, let entry = found else {
      throw ListenerError("\"\(address ?? "::")\" is no address: \(String(cString: gai_strerror(code)))")
    }
    defer { freeaddrinfo(found) }
    let subject = "\(address ?? "all addresses"), port \(port)"
    socket = Glibc.socket(entry.pointee.ai_family, entry.pointee.ai_socktype | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard socket >= 0 else { throw lastError("socket", on: subject) }
    set(SOL_SOCKET, SO_REUSEADDR, 1)
    // The standby's instance listens before the address is there.
    set(Int32(IPPROTO_IP), IP_FREEBIND, 1)
    set(Int32(IPPROTO_IPV6), IPV6_V6ONLY, address == nil ? 0 : 1)
    guard bind(socket, entry.pointee.ai_addr, entry.pointee.ai_addrlen) == 0 else {
      throw lastError("bind", on: subject)
    }
    guard listen(socket, SOMAXCONN) == 0 else { throw lastError("listen", on: subject) }
  }

  /// Waits for a connection; nil when one could not be taken.
  func accept() -> Int32? {
    let accepted = Glibc.accept(socket, nil, nil)
    if accepted >= 0 { return accepted }
    if errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS {
      log("\(lastError("accept"))")
      // Until a connection ends.
      usleep(100_000)
    }
    return nil
  }

  /// What a kernel or a family does not have is done without.
  private func set(_ level: Int32, _ option: Int32, _ value: Int32) {
    var value = value
    _ = setsockopt(socket, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
  }
}

struct ListenerError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}
