internal import CLinux
internal import Glibc
internal import LinuxNetwork
internal import Synchronization
internal import SystemCalls

/// Traffic that does as little as it can, so that what lies between its ends is what is measured: bytes that nobody looks at, and
/// messages that come back as they are. Both ends are blocking sockets with a thread each.
public enum MeasuredTraffic {
  /// What one write and one read are given, as iperf3(1) does.
  private static let piece = 128 << 10
  /// Seconds without a byte after which a measurement has failed.
  private static let patience: Int = 10

  /// Sends as fast as it goes, and counts what arrives in `seconds`, after a while in which the connection finds its pace.
  /// - Returns: bits a second.
  public static func bulk(
    from sender: TCPSocket, to receiver: TCPSocket, warmUp: Double = 0.4, seconds: Double
  ) throws -> Double {
    try prepare(sender, receiver)
    let stop = Flag()
    let received = Counter()
    let write = try DedicatedThread {
      let bytes = [UInt8](repeating: 0x5a, count: piece)
      while !stop.isSet, send(sender.number, bytes, bytes.count, Int32(MSG_NOSIGNAL)) > 0 {}
      shutdown(sender.number, Int32(SHUT_WR))
    }
    let read = try DedicatedThread {
      var bytes = [UInt8](repeating: 0, count: piece)
      while true {
        let count = recv(receiver.number, &bytes, bytes.count, 0)
        if count <= 0 { return }
        received.value.add(count, ordering: .relaxed)
      }
    }
    usleep(UInt32(warmUp * 1e6))
    let (start, before) = (monotonicNow(), received.value.load(ordering: .relaxed))
    usleep(UInt32(seconds * 1e6))
    let (end, after) = (monotonicNow(), received.value.load(ordering: .relaxed))
    stop.set()
    write.join()
    read.join()
    finish(sender, receiver)
    guard after > before else { throw LabError("no byte has arrived in \(seconds) s") }
    return Double(after - before) * 8e9 / Double(end - start)
  }

  /// Sends a message, waits until it has come back, and so on.
  /// - Returns: the time of each round trip, ns, sorted.
  public static func pingPong(
    from client: TCPSocket, to server: TCPSocket, warmUp: Double = 0.2, seconds: Double, messageSize: Int = 64
  ) throws -> [UInt64] {
    try prepare(client, server)
    let echo = try DedicatedThread {
      var bytes = [UInt8](repeating: 0, count: messageSize)
      while true {
        let count = recv(server.number, &bytes, bytes.count, 0)
        if count <= 0 || send(server.number, bytes, count, Int32(MSG_NOSIGNAL)) != count { return }
      }
    }
    var times: [UInt64] = []
    var bytes = [UInt8](repeating: 0x5a, count: messageSize)
    let start = monotonicNow()
    let (from, until) = (start + UInt64(warmUp * 1e9), start + UInt64((warmUp + seconds) * 1e9))
    while true {
      let begun = monotonicNow()
      guard begun < until, send(client.number, bytes, messageSize, Int32(MSG_NOSIGNAL)) == messageSize,
        recv(client.number, &bytes, messageSize, Int32(MSG_WAITALL)) == messageSize
      else { break }
      if begun >= from { times.append(monotonicNow() - begun) }
    }
    shutdown(client.number, Int32(SHUT_WR))
    echo.join()
    finish(client, server)
    guard !times.isEmpty else { throw LabError("no message has come back in \(seconds) s") }
    return times.sorted()
  }

  private static func prepare(_ sockets: TCPSocket...) throws {
    for socket in sockets {
      let flags = hf_fcntl_int(socket.number, F_GETFL, 0)
      _ = hf_fcntl_int(socket.number, F_SETFL, flags & ~O_NONBLOCK)
      try socket.setTCP(TCP_NODELAY, 1)
      // A gate that lets nothing through must not hang the benchmark.
      var limit = timeval(tv_sec: patience, tv_usec: 0)
      for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
        try systemCall("setsockopt(\(option))") {
          setsockopt(socket.number, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
      }
    }
  }

  /// A daemon may hold the socket too: closing it here would end nothing.
  private static func finish(_ sockets: TCPSocket...) {
    for socket in sockets { shutdown(socket.number, Int32(SHUT_RDWR)) }
  }

  private final class Flag: Sendable {
    private let value = Atomic<Bool>(false)
    var isSet: Bool { value.load(ordering: .relaxed) }
    func set() { value.store(true, ordering: .relaxed) }
  }

  private final class Counter: Sendable {
    let value = Atomic<Int>(0)
  }
}
