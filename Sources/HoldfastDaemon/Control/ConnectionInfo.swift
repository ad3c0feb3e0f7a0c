internal import ControlAPI
internal import LinuxNetwork
internal import SystemCalls
internal import TCPModel

extension ConnectionInfo {
  /// A connection as the control socket shows it.
  /// - Parameters:
  ///   - live: the socket on the host that owns it; nil on a standby.
  ///   - lag: bytes of the replication stream that the standby has not acknowledged.
  ///   - pending: why the standby could not continue it yet, where nothing else speaks against it.
  init(
    _ ledger: Ledger, pair: String, live: LiveConnection?, protected: Bool, lag: Int, pending: String? = nil
  ) {
    let state = live.flatMap { try? TCPInfo($0.socket.number).state.description } ?? "ESTABLISHED"
    let clock = ledger.timestamp
    // TSval less the host's clock in the same unit: what TCP_TIMESTAMP adds.
    let ticks = clock.unit == .none ? 0 : UInt32(truncatingIfNeeded: clock.moment / clock.unit.nanosecondsPerTick)
    self.init(
      id: LiveConnection.name(ofNumber: ledger.identity.id), pair: pair, service: ledger.identity.service,
      key: ledger.identity.key, local: "\(ledger.flow.local)", peer: "\(ledger.flow.peer)", tcpState: state,
      protected: protected, received: Int(ledger.input.received), consumed: Int(ledger.input.consumed),
      sent: Int(max(ledger.output.sent, 0)), unacknowledged: ledger.output.unacknowledgedCount, replicaLag: lag,
      timestampOffset: clock.unit == .none ? 0 : Int(clock.value &- ticks),
      timestampUnit: TimestampUnitName(clock.unit), obstacle: live?.doubt ?? ledger.obstacle ?? pending)
  }
}

extension TimestampUnitName {
  init(_ unit: TimestampUnit) {
    switch unit {
    case .none: self = .none
    case .milliseconds: self = .milliseconds
    case .microseconds: self = .microseconds
    }
  }
}

extension LiveConnection {
  /// 16 hexadecimal digits.
  var name: String { Self.name(ofNumber: id) }

  static func name(ofNumber number: UInt64) -> String {
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  static func number(ofName name: String) -> UInt64? {
    // A number has one name: signs and capitals are none of it.
    guard let number = UInt64(name, radix: 16), self.name(ofNumber: number) == name else { return nil }
    return number
  }
}
