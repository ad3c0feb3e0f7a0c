import Modelling
import Replication
import TCPModel
import Testing

/// Bytes and frames as the tests move them.
enum Wire {
  /// A frame as it lies on the wire, of any type.
  static func frame(_ type: UInt8, connection: UInt64 = 0, _ body: [UInt8] = []) -> [UInt8] {
    var bytes: [UInt8] = []
    withUnsafeBytes(of: UInt32(body.count).bigEndian) { bytes += $0 }
    bytes += [type, 0, 0, 0]
    withUnsafeBytes(of: connection.bigEndian) { bytes += $0 }
    return bytes + body
  }

  static func frame(_ type: FrameType, connection: UInt64 = 0, _ body: [UInt8] = []) -> [UInt8] {
    frame(type.rawValue, connection: connection, body)
  }

  static func number(_ number: UInt64) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }

  /// Takes up to `limit` bytes out of a stream, as a transport does that has room for so many.
  static func take(_ stream: inout OutgoingStream, limit: Int = .max) -> [UInt8] {
    var taken: [UInt8] = []
    while taken.count < limit, stream.unsentCount > 0 {
      var pieces: [UnsafeRawBufferPointer] = []
      stream.pieces(into: &pieces)
      let before = taken.count
      for piece in pieces { taken += piece.prefix(limit - taken.count) }
      stream.consume(taken.count - before)
    }
    return taken
  }

  /// Hands `bytes` to a stream in pieces of at most `limit` bytes, and each frame on as soon as it is complete.
  static func give(
    _ bytes: [UInt8], to stream: inout IncomingStream, limit: Int = .max, _ each: (Frame) throws -> Void
  ) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let space = stream.space()
      let count = min(rest.count, limit, space.count)
      try #require(count > 0)
      space.copyBytes(from: rest.prefix(count))
      stream.commit(count)
      rest = rest.dropFirst(count)
      while let frame = try stream.next() { try each(frame) }
    }
  }

  /// Parses one body with `read`, as the frame of that type.
  static func read<Value>(_ type: FrameType, connection: UInt64 = 0, _ body: [UInt8], _ read: (Frame) throws -> Value)
    throws -> Value
  {
    var stream = IncomingStream()
    var value: Value?
    try give(frame(type, connection: connection, body), to: &stream) { value = try read($0) }
    return try #require(value)
  }
}

/// Values to send: everything that a frame can carry, from a seed.
enum Sample {
  static func hello(_ random: inout SeededGenerator) -> Hello {
    Hello(
      node: text(&random), pair: text(&random), instance: random.next(), epoch: random.next() >> 2,
      position: random.next() >> 2, supportsMicroseconds: random.chance(50))
  }

  static func text(_ random: inout SeededGenerator) -> String {
    String((0..<random.below(30)).map { _ in "abcxyz-09 üß漢🦊".randomElement(using: &random) ?? "a" })
  }

  static func options(_ random: inout SeededGenerator) -> SocketOptions {
    var options = SocketOptions(congestionControl: random.chance(50) ? "cubic" : text(&random))
    for name in SocketOptions.Name.allCases where random.chance(50) {
      options.values[name] = Int32(truncatingIfNeeded: random.next())
    }
    return options
  }

  static func header(_ random: inout SeededGenerator) -> SegmentHeader {
    SegmentHeader(
      sequence: SequenceNumber(UInt32(truncatingIfNeeded: random.next())),
      acknowledgement: SequenceNumber(UInt32(truncatingIfNeeded: random.next())),
      window: UInt16(truncatingIfNeeded: random.next()),
      flags: SegmentHeader.Flags(rawValue: UInt8(truncatingIfNeeded: random.next())), hasTimestamp: random.chance(50),
      timestampValue: UInt32(truncatingIfNeeded: random.next()),
      timestampEcho: UInt32(truncatingIfNeeded: random.next()))
  }

  /// A ledger in the middle of its life: queues, candidates and holes in them, half closed or not.
  static func image(_ random: inout SeededGenerator) -> LedgerImage {
    let shape = ModelConnection.Shape(
      input: random.below(4000), output: random.below(4000), inputCloses: random.chance(40),
      outputCloses: random.chance(40), wraps: random.chance(50), buffer: random.within(64...4000))
    var model = ModelConnection(seed: random.next() % 100_000, shape: shape)
    let ledger = Ledger(model.baseline)
    for _ in 0..<random.below(400) { for event in model.step() { ledger.fold(event, now: 5_000_000) } }
    if random.chance(30) { ledger.apply(.options(options(&random))) }
    var image = ledger.image
    image.identity.id = random.next()
    image.identity.service = text(&random)
    image.identity.key = random.chance(50) ? text(&random) : nil
    image.identity.retention = random.chance(50) ? .read : .confirm
    image.state.isMapped = random.chance(20)
    image.wasReset = random.chance(10)
    image.sawUrgent = random.chance(10)
    image.peerTimestamp = UInt32(truncatingIfNeeded: random.next())
    if random.chance(30), let six = IPAddress(bytes: random.bytes(16)) {
      image.state.flow = Flow(
        local: Endpoint(address: six, port: 443), peer: Endpoint(address: six, port: 50_000))
    }
    return image
  }
}
