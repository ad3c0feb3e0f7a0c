internal import Glibc
internal import LinuxNetwork
internal import TCPModel

/// One connection of an unmodified client: a plain socket that follows its shape and checks every byte.
///
/// Confined to the thread of its `PatternClient`.
final class ClientConnection {
  let socket: TCPSocket
  let shape: Shape
  let service: Endpoint
  private(set) var endpoint: Endpoint?
  private(set) var received: UInt64 = 0
  private(set) var sent: UInt64 = 0
  private(set) var connected = false
  private(set) var finished = false
  private(set) var ended = false
  private(set) var failure: String?
  private(set) var meter: StallMeter
  /// Round trips of ping-pong, nanoseconds; kept only when asked for.
  private(set) var roundTrips: [UInt64] = []
  private var requestAt: UInt64 = 0
  private let keepsRoundTrips: Bool
  private var inbound = Pattern(seed: 0)
  private var outbound = Pattern(seed: 0)
  private var trailer: [UInt8] = []

  init(socket: TCPSocket, shape: Shape, service: Endpoint, keepsRoundTrips: Bool) {
    self.socket = socket
    self.shape = shape
    self.service = service
    self.keepsRoundTrips = keepsRoundTrips
    meter = StallMeter(now: monotonicNow())
  }

  var isOver: Bool { ended || failure != nil }

  /// What the socket should be watched for.
  func interest(reading: Bool, speaking: Bool) -> Poller.Interest {
    if !connected { return .write }
    var interest: Poller.Interest = reading ? .read : []
    if wantsToWrite(speaking: speaking) { interest.insert(.write) }
    return interest
  }

  private func wantsToWrite(speaking: Bool) -> Bool {
    if finished { return false }
    switch shape {
    case .download: return false
    case .upload, .both: return true
    case .pingpong, .idle: return outputLimit(speaking: speaking) > sent
    }
  }

  private func outputLimit(speaking: Bool) -> UInt64 {
    switch shape {
    case .download: return 0
    case .upload, .both: return .max
    case .pingpong, .idle:
      // One request at a time: the next when the answer to the last one is complete.
      let next = received / Shape.messageSize * Shape.messageSize + Shape.messageSize
      return speaking || sent % Shape.messageSize != 0 ? next : sent
    }
  }

  /// Bytes that the shape is about.
  var amount: UInt64 {
    switch shape {
    case .download, .pingpong, .idle: received
    case .upload: sent
    case .both: min(received, sent)
    }
  }

  /// True when enough has been done: then, or never, the client ends its half.
  func hasReached(_ goal: UInt64) -> Bool {
    switch shape {
    case .download, .pingpong, .idle: received >= goal && (shape == .download || received == sent)
    case .upload: sent >= goal
    case .both: sent >= goal && received >= goal
    }
  }

  func fail(_ reason: String) {
    if failure == nil { failure = "\(shape) \(endpoint.map { "\($0)" } ?? "?"): \(reason)" }
  }

  /// The connection was opened, or was refused.
  func becameWritable(at now: UInt64) throws {
    guard !connected else { return }
    let error = try socket.takeError()
    if error != 0 { return fail("connect: \(String(cString: strerror(error)))") }
    guard let endpoint = socket.localEndpoint else { return fail("the socket has no address") }
    self.endpoint = endpoint
    inbound = Shape.outbound(clientPort: endpoint.port)
    outbound = Shape.inbound(clientPort: endpoint.port)
    connected = true
    meter.restart(at: now)
  }

  /// Ends the client's half.
  func finish() {
    guard connected, !finished, !isOver else { return }
    finished = true
    do { try socket.finishWriting() } catch { fail("\(error)") }
  }

  /// What was waited for until now was not due: the client kept silent, or did not read.
  func restartMeter(at now: UInt64) { meter.restart(at: now) }

  func forgetStalls() { meter.forget() }

  /// Writes what fits. Returns the bytes written.
  func write(with buffer: UnsafeMutableRawBufferPointer, speaking: Bool, at now: UInt64) -> Int {
    guard connected, !isOver, wantsToWrite(speaking: speaking) else { return 0 }
    let limit = outputLimit(speaking: speaking)
    var written = 0
    do {
      // A few rounds: other connections want their turn.
      for _ in 0..<4 where sent < limit {
        let count = Int(min(limit - sent, UInt64(buffer.count)))
        let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
        outbound.fill(piece, from: sent)
        guard let done = try socket.write(UnsafeRawBufferPointer(piece)) else { break }
        if shape == .pingpong || shape == .idle { requestAt = now }
        sent += UInt64(done)
        written += done
        if done < count { break }
      }
    } catch { fail("\(error)") }
    if written > 0, shape == .upload || shape == .both { meter.progress(at: now) }
    if written > 0, shape == .idle { meter.restart(at: now) }
    return written
  }

  /// Reads and checks what is there. Returns the bytes read.
  func read(into buffer: UnsafeMutableRawBufferPointer, at now: UInt64) -> Int {
    guard connected, !isOver else { return 0 }
    do {
      guard let count = try socket.read(into: buffer) else { return 0 }
      if count == 0 {
        end()
        return 0
      }
      check(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      received += UInt64(count)
      if shape == .pingpong || shape == .idle, keepsRoundTrips, received == sent { roundTrips.append(now - requestAt) }
      meter.progress(at: now)
      return count
    } catch {
      fail("\(error)")
      return 0
    }
  }

  private func check(_ bytes: UnsafeRawBufferPointer) {
    if shape == .upload {
      trailer += bytes
      if trailer.count > Int(Shape.trailerSize) || !finished { fail("bytes that nobody asked for") }
      return
    }
    if let offset = inbound.firstMismatch(in: bytes, from: received) { fail("a wrong byte at offset \(offset)") }
    if (shape == .pingpong || shape == .idle) && received + UInt64(bytes.count) > sent {
      fail("more answers than requests")
    }
  }

  private func end() {
    ended = true
    if !finished { return fail("the service ended the stream after \(received) bytes") }
    if shape == .upload {
      let total = trailer.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      if trailer.count != Int(Shape.trailerSize) || total != sent {
        fail("sent \(sent) bytes, the service counted \(trailer.isEmpty ? "none" : "\(total)")")
      }
    }
  }
}
