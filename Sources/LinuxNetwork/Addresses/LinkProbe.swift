internal import CLinux
internal import Glibc
public import SystemCalls
internal import SystemPackage

/// Whether a link can carry packets, as the kernel knows it.
public enum LinkState: Hashable, Sendable {
  case up
  /// It is up and has no carrier: the cable is out, the switch is off, the interface below it is down.
  case noCarrier
  /// It was set down.
  case down
  case missing

  /// What is wrong with the link of that name.
  public func problem(of interface: String) -> String? {
    switch self {
    case .up: nil
    case .noCarrier: "\(interface) has no carrier"
    case .down: "\(interface) is down"
    case .missing: "there is no interface \(interface)"
    }
  }
}

/// Reads the states of links: one SIOCGIFFLAGS each (netdevice(7)), about a microsecond.
public final class LinkProbe {
  private let socket: Descriptor

  public init() throws(SystemCallError) {
    socket = Descriptor(
      owning: try systemCall("socket(AF_INET)") {
        Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
      })
  }

  /// IFF_RUNNING follows the carrier, and where there is one the interface below; of a link that has none to lose (dummy) it is
  /// always set (netif_oper_up in the kernel's include/linux/netdevice.h).
  /// - Throws: `SystemCallError` when the kernel does not say.
  public func state(of interface: String) throws(SystemCallError) -> LinkState {
    var request = ifreq()
    withUnsafeMutableBytes(of: &request.ifr_ifrn) { $0.copyBytes(from: interface.utf8.prefix(Int(IFNAMSIZ) - 1)) }
    do throws(SystemCallError) {
      let number = socket.number
      try systemCall("ioctl(SIOCGIFFLAGS)", on: interface) {
        hf_ioctl_pointer(number, UInt(HF_SIOCGIFFLAGS), &request)
      }
    } catch {
      if error.errno == .init(rawValue: ENODEV) { return .missing }
      throw error
    }
    let flags = withUnsafeBytes(of: &request.ifr_ifru) { Int($0.loadUnaligned(as: UInt16.self)) }
    guard flags & Int(IFF_UP) != 0 else { return .down }
    return flags & Int(IFF_RUNNING) != 0 ? .up : .noCarrier
  }
}
