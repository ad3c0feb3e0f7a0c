internal import CLinux
internal import Glibc
internal import SystemPackage
public import TCPModel

/// Reads and writes the socket options that an application may have set.
public enum SocketOptionsCopy {
  private static let names: [(SocketOptions.Name, SocketOption)] = [
    (.noDelay, .noDelay), (.cork, .cork), (.keepAlive, .keepAlive), (.keepIdle, .keepIdle),
    (.keepInterval, .keepInterval), (.keepCount, .keepCount), (.userTimeout, .userTimeout),
    (.finWaitTimeout, .finWaitTimeout), (.notSentLowWater, .notSentLowWater), (.receiveLowWater, .receiveLowWater),
    (.typeOfService, .typeOfService), (.timeToLive, .timeToLive), (.priority, .priority),
    (.mtuDiscover, .mtuDiscover), (.reuseAddress, .reuseAddress), (.sendBuffer, .sendBuffer),
    (.receiveBuffer, .receiveBuffer), (.bufferLock, .bufferLock),
  ]
  private static let namesV6: [(SocketOptions.Name, SocketOption)] = [
    (.trafficClass, .trafficClass), (.hopLimit, .hopLimit),
  ]

  /// Options that a kernel does not know are left out.
  public static func read(_ socket: Int32) -> SocketOptions {
    var options = SocketOptions()
    let isV6 = (try? SocketOption.domain.get(socket)) == AF_INET6
    for (name, option) in isV6 ? names + namesV6 : names {
      if let value = try? option.get(socket) { options.values[name] = value }
    }
    var linger = Glibc.linger()
    var length = socklen_t(MemoryLayout<Glibc.linger>.size)
    if getsockopt(socket, SOL_SOCKET, SO_LINGER, &linger, &length) == 0 {
      options.values[.linger] = linger.l_onoff == 0 ? -1 : linger.l_linger
    }
    options.congestionControl = congestionControl(socket) ?? ""
    return options
  }

  private static func congestionControl(_ socket: Int32) -> String? {
    var name = [UInt8](repeating: 0, count: 16)
    var length = socklen_t(name.count)
    guard getsockopt(socket, Int32(IPPROTO_TCP), TCP_CONGESTION, &name, &length) == 0 else { return nil }
    return String(decoding: name.prefix(Int(length)).prefix { $0 != 0 }, as: UTF8.self)
  }

  /// Gives a restored socket what differs from a new one's defaults. What the kernel refuses stays at its default: an option
  /// is not worth a connection.
  /// - Parameter defaults: the options of a new socket of the same kind.
  public static func apply(_ options: SocketOptions, to socket: Int32, defaults: SocketOptions) {
    for (name, option) in names + namesV6 {
      guard let value = options.values[name], value != defaults.values[name] else { continue }
      switch name {
      // Restored elsewhere: buffers before the queues are filled, SO_REUSEADDR after repair mode, which clears it.
      case .sendBuffer, .receiveBuffer, .bufferLock, .reuseAddress: continue
      default: try? option.set(socket, value)
      }
    }
    if let seconds = options.values[.linger], seconds != defaults.values[.linger] {
      var linger = Glibc.linger(l_onoff: seconds < 0 ? 0 : 1, l_linger: max(seconds, 0))
      setsockopt(socket, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
    }
    if !options.congestionControl.isEmpty, options.congestionControl != defaults.congestionControl {
      let name = Array(options.congestionControl.utf8)
      setsockopt(socket, Int32(IPPROTO_TCP), TCP_CONGESTION, name, socklen_t(name.count))
    }
  }
}
