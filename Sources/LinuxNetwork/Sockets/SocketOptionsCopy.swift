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
    (.receiveBuffer, .receiveBuffer), (.bufferLock, .bufferLock), (.reusePort, .reusePort),
    (.inlineUrgent, .inlineUrgent), (.maximumPacingRate, .maximumPacingRate), (.minimumTTL, .minimumTTL),
    (.maximumTimeout, .maximumTimeout), (.minimumTimeout, .minimumTimeout), (.maximumAckDelay, .maximumAckDelay),
    (.linearTimeouts, .linearTimeouts), (.zeroCopy, .zeroCopy), (.inputCount, .inputCount),
    (.receiveErrors, .receiveErrors),
  ]
  private static let namesV6: [(SocketOptions.Name, SocketOption)] = [
    (.trafficClass, .trafficClass), (.hopLimit, .hopLimit), (.minimumHopLimit, .minimumHopLimit),
    (.mtuDiscoverV6, .mtuDiscoverV6), (.autoFlowLabel, .autoFlowLabel), (.receiveErrorsV6, .receiveErrorsV6),
  ]
  private static let timeouts: [(SocketOptions.Name, number: Int32)] = [
    (.receiveTimeout, SO_RCVTIMEO), (.sendTimeout, SO_SNDTIMEO),
  ]

  /// Options that a kernel does not know are left out.
  public static func read(_ socket: Int32) -> SocketOptions {
    var options = SocketOptions()
    let isV6 = (try? SocketOption.domain.get(socket)) == AF_INET6
    for (name, option) in isV6 ? names + namesV6 : names {
      if let value = try? option.get(socket) { options.values[name] = value }
    }
    // What the kernel tunes is not the application's, and changes all the time.
    let locked = options.values[.bufferLock] ?? 0
    if locked & 1 == 0 { options.values[.sendBuffer] = nil }
    if locked & 2 == 0 { options.values[.receiveBuffer] = nil }
    if let mark = try? SocketOption.mark.get(socket) { options.values[.mark] = mark }
    for (name, number) in timeouts { options.values[name] = timeout(socket, number) }
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

  /// Milliseconds, rounded up: a short wait must not become an endless one.
  private static func timeout(_ socket: Int32, _ number: Int32) -> Int32? {
    var value = timeval()
    var length = socklen_t(MemoryLayout<timeval>.size)
    guard getsockopt(socket, SOL_SOCKET, number, &value, &length) == 0 else { return nil }
    return Int32(clamping: value.tv_sec &* 1000 &+ (value.tv_usec + 999) / 1000)
  }

  /// Gives a restored socket what differs from a new one's defaults. What the kernel refuses stays at its default: an option
  /// is not worth a connection.
  /// - Parameter defaults: the options of a new socket of the same kind.
  public static func apply(_ options: SocketOptions, to socket: Int32, defaults: Defaults) {
    let changed = defaults.changes(in: options)
    apply(changed, to: socket)
    if !options.congestionControl.isEmpty, options.congestionControl != defaults.options.congestionControl {
      let name = Array(options.congestionControl.utf8)
      setsockopt(socket, Int32(IPPROTO_TCP), TCP_CONGESTION, name, socklen_t(name.count))
    }
  }

  /// A new socket's options, laid out so that comparing with them takes less time than a system call: a takeover does it for
  /// each connection, and nearly all options of nearly all sockets are the defaults.
  public struct Defaults: Sendable {
    public let options: SocketOptions
    private let values: [Int32?]

    public init(_ options: SocketOptions) {
      self.options = options
      var values = [Int32?](repeating: nil, count: 256)
      for (name, value) in options.values { values[Int(name.rawValue)] = value }
      self.values = values
    }

    func changes(in options: SocketOptions) -> [SocketOptions.Name: Int32] {
      var changes: [SocketOptions.Name: Int32] = [:]
      for (name, value) in options.values where values[Int(name.rawValue)] != value { changes[name] = value }
      return changes
    }
  }

  private static func apply(_ changed: [SocketOptions.Name: Int32], to socket: Int32) {
    guard !changed.isEmpty else { return }
    // In this order: some set others along (IP_TOS the priority).
    for (name, option) in names + namesV6 {
      guard let value = changed[name] else { continue }
      switch name {
      // Restored elsewhere: buffers before the queues are filled, SO_REUSEADDR after repair mode, which clears it.
      case .sendBuffer, .receiveBuffer, .bufferLock, .reuseAddress: continue
      default: try? option.set(socket, value)
      }
    }
    for (name, number) in timeouts {
      guard let milliseconds = changed[name] else { continue }
      var value = timeval(tv_sec: Int(milliseconds) / 1000, tv_usec: Int(milliseconds) % 1000 * 1000)
      setsockopt(socket, SOL_SOCKET, number, &value, socklen_t(MemoryLayout<timeval>.size))
    }
    if let seconds = changed[.linger] {
      var linger = Glibc.linger(l_onoff: seconds < 0 ? 0 : 1, l_linger: max(seconds, 0))
      setsockopt(socket, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
    }
  }
}
