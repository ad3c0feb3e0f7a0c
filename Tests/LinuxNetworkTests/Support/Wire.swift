import CLinux
import Glibc
import Lab
import LinuxNetwork
import SystemCalls
import TCPModel
import Testing

/// A host and its peer, each a network namespace, joined by one link:
///
///     host  10.77.0.1, fd77::1  eth0 ──────── eth0  10.77.0.9, fd77::9  peer
///
/// The host's sockets are the ones that are taken apart and restored; the peer's are what an unmodified client has.
final class Wire {
  let host: Namespace
  let peer: Namespace
  /// Keep back what arrives at one end.
  let hostLock: Lock
  let peerLock: Lock

  static let port: UInt16 = 7000

  /// How the host's end of a connection came to be.
  enum Kind: CaseIterable {
    case v4
    case v6
    /// IPv4 on a socket that listens for both.
    case mapped
  }

  init() throws {
    host = try Namespace("host")
    peer = try Namespace("peer")
    for namespace in [host, peer] {
      try namespace.setSysctl("net.ipv6.conf.default.accept_dad", "0")
      // The same on every machine: a test that asks for bbr says so.
      try namespace.setSysctl("net.ipv4.tcp_congestion_control", "reno")
    }
    try host.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", peer.name)
    for (namespace, digit) in [(host, 1), (peer, 9)] {
      try namespace.ip(
        batch: """
          addr add 10.77.0.\(digit)/24 dev eth0
          addr add fd77::\(digit)/64 dev eth0 nodad
          link set eth0 up

          """)
    }
    hostLock = try Lock(host)
    peerLock = try Lock(peer)
  }

  static func address(_ digit: UInt8, _ kind: Kind) -> IPAddress {
    kind == .v6
      ? IPAddress(v6High: 0xfd77_0000_0000_0000, low: UInt64(digit)) : IPAddress(v4: 0x0a4d_0000 | UInt32(digit))
  }

  static func service(_ kind: Kind = .v4) -> Endpoint { Endpoint(address: address(1, kind), port: port) }

  /// A connection from the peer to a listener on the host.
  /// - Parameters:
  ///   - maximumSegment: what the peer says in its MSS option.
  ///   - receiveBuffer: SO_RCVBUF of the peer.
  func connect(
    _ kind: Kind = .v4, port: UInt16 = Wire.port, maximumSegment: Int32? = nil, receiveBuffer: Int32? = nil
  ) throws -> Line {
    let service = Endpoint(address: Wire.address(1, kind), port: port)
    let listener = try host.run {
      let any = IPAddress(v6High: 0, low: 0)
      return try TCPSocket.listen(
        on: kind == .mapped ? Endpoint(address: any, port: service.port) : service, dualStack: kind == .mapped)
    }
    let client = try peer.run {
      try TCPSocket.connect(to: service, maximumSegment: maximumSegment, receiveBuffer: receiveBuffer)
    }
    var accepted: TCPSocket?
    try wait(for: "a connection", until: .seconds(10)) {
      accepted = try listener.accept()
      return accepted != nil
    }
    guard let accepted else { throw LabError("no connection") }
    return Line(wire: self, host: accepted, peer: client, listener: listener)
  }

  /// One of the kernel's counters in a namespace, as nstat(8) names it: `Tcp.OutRsts`, `TcpExt.PAWSEstab`.
  func counter(_ name: String, of namespace: Namespace) throws -> Int {
    let text = try namespace.run {
      try Files.read("/proc/thread-self/net/snmp") + Files.read("/proc/thread-self/net/netstat")
    }
    let parts = name.split(separator: ".")
    let lines = text.split(separator: "\n").filter { $0.hasPrefix("\(parts[0]): ") }.map { $0.split(separator: " ") }
    guard lines.count == 2, let column = lines[0].firstIndex(of: parts[1]), let value = Int(lines[1][column]) else {
      throw LabError("there is no counter \(name)")
    }
    return value
  }

  func expectNoHarm(_ location: SourceLocation = #_sourceLocation) throws {
    let harm = try harm()
    #expect(harm == [], sourceLocation: location)
  }

  /// What may never have happened: resets, connections given up, segments that the peer refused for their timestamp.
  func harm() throws -> [String] {
    let anywhere = ["Tcp.OutRsts", "Tcp.AttemptFails", "TcpExt.TCPAbortOnData", "TcpExt.TCPAbortOnTimeout"]
    // What an opened lock lets in may be older than what came past it, so the host may refuse such a segment.
    return try [("host", host, anywhere), ("peer", peer, anywhere + ["TcpExt.PAWSEstab"])].flatMap {
      role, namespace, names in
      try names.compactMap { name in
        let count = try counter(name, of: namespace)
        return count == 0 ? nil : "\(role): \(name) \(count)"
      }
    }
  }
}

extension TCPSocket {
  /// All that TCP_INFO says.
  var information: hf_tcp_info {
    get throws {
      var info = hf_tcp_info()
      var length = socklen_t(MemoryLayout<hf_tcp_info>.size)
      try systemCall("getsockopt(TCP_INFO)") { getsockopt(number, Int32(IPPROTO_TCP), TCP_INFO, &info, &length) }
      return info
    }
  }
}

/// Keeps back the TCP packets that arrive in a namespace over its eth0, and lets them in later, or loses them.
final class Lock {
  private let namespace: Namespace
  private let queue: PacketQueue
  private static let number: UInt16 = 99

  init(_ namespace: Namespace) throws {
    self.namespace = namespace
    queue = try namespace.run { try PacketQueue(queues: [Lock.number]) }
  }

  private func rule(_ verb: String) throws {
    for tool in ["iptables", "ip6tables"] {
      try Tool.run(
        tool,
        [
          "-w", "-t", "raw", verb, "PREROUTING", "-i", "eth0", "-p", "tcp", "-j", "NFQUEUE", "--queue-num",
          "\(Lock.number)",
        ],
        in: namespace)
    }
  }

  func close() throws {
    try rule("-A")
  }

  /// Waits for two packets, loses the first and lets in the second: a hole.
  func makeHole() throws {
    var ids: [UInt32] = []
    try wait(for: "two packets", until: .seconds(10)) {
      _ = try queue.receive { ids.append($0.id) }
      return ids.count >= 2
    }
    try queue.drop(ids[0], in: Lock.number)
    try queue.accept(ids[1], in: Lock.number)
  }

  /// - Parameter losing: what has arrived meanwhile is gone.
  func open(losing: Bool = false) throws {
    try work(losing: losing)
    try rule("-D")
    try work(losing: losing)
  }

  /// Deals with what has arrived and stays closed.
  func work(losing: Bool) throws {
    var last: UInt32?
    while try queue.receive({ last = $0.id }) > 0 {}
    guard let last else { return }
    if losing {
      try queue.dropAll(upTo: last, in: Lock.number)
    } else {
      try queue.acceptAll(upTo: last, in: Lock.number)
    }
  }
}
