import Testing

@testable import ControlAPI

@Suite struct MessageFramerTests {
  /// All messages that are complete by now; nil for one that was too long.
  private func feed(_ framer: inout MessageFramer, _ bytes: [UInt8]) -> [[UInt8]?] {
    bytes.withUnsafeBytes { framer.append($0) }
    var messages: [[UInt8]?] = []
    while let piece = framer.next() {
      if case .message(let bytes) = piece { messages.append(bytes) } else { messages.append(nil) }
    }
    return messages
  }

  @Test func anyChopOfAStreamGivesTheSameMessages() {
    let messages: [[UInt8]] = [
      [1, 2, 3], [], [4], Array(repeating: 9, count: 100), Array(repeating: 8, count: 101), [5, 6],
      Array(repeating: 7, count: 1000), Array(repeating: 7, count: 1000), [], [10],
    ]
    let stream: [UInt8] = messages.flatMap { $0 + [UInt8(0)] }
    let expected = messages.map { $0.count > 100 ? nil : $0 }
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<200 {
      var framer = MessageFramer(limit: 100)
      var rest = stream[...]
      var found: [[UInt8]?] = []
      while !rest.isEmpty {
        let count = Int.random(in: 1...rest.count, using: &generator)
        found += feed(&framer, Array(rest.prefix(count)))
        rest = rest.dropFirst(count)
      }
      #expect(found == expected)
      #expect(!framer.isInsideMessage && !framer.isSkipping)
    }
  }

  @Test func aMessageMayBeAsLongAsTheLimitAndALongerOneIsSkipped() {
    var framer = MessageFramer(limit: 4)
    #expect(feed(&framer, [1, 2, 3, 4]) == [])
    #expect(framer.isInsideMessage)
    #expect(feed(&framer, [0, 1]) == [[1, 2, 3, 4]])
    // It is told as soon as it is known, and once.
    #expect(feed(&framer, [2, 3, 4, 5]) == [nil])
    #expect(framer.isInsideMessage && framer.isSkipping)
    #expect(feed(&framer, Array(repeating: 6, count: 100)) == [])
    #expect(feed(&framer, [7, 0, 8, 0, 9]) == [[8]])
    #expect(framer.isInsideMessage && !framer.isSkipping)
    var other = MessageFramer(limit: 4)
    #expect(feed(&other, [1, 2, 3, 4, 5, 0, 6, 0]) == [nil, [6]])
  }
}

@Suite struct VarlinkCodecTests {
  private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes.dropLast(), as: UTF8.self) }

  @Test func callsAreJSONObjectsThatEndWithNUL() throws {
    let bytes = try VarlinkCodec.encodeCall(
      "io.holdfast.Register", RegisterCall(service: "web", key: "a/b\u{0}"), more: false)
    #expect(bytes.last == 0 && bytes.count { $0 == 0 } == 1)
    #expect(
      text(bytes)
        == #"{"method":"io.holdfast.Register","parameters":{"fd":0,"key":"a/b\u0000","service":"web"}}"#)
    #expect(
      text(try VarlinkCodec.encodeCall("a.B", VarlinkCodec.NoParameters(), more: true, oneway: true))
        == #"{"method":"a.B","more":true,"oneway":true,"parameters":{}}"#)
  }

  @Test func repliesSurviveTheTrip() throws {
    let reply = AdoptReply(connection: connectionInfo("00ff"), fd: 2, state: "AAA=", produced: 5)
    let bytes = try VarlinkCodec.encodeReply(reply, continues: true)
    let decoded = try VarlinkCodec.decodeReply(AdoptReply.self, from: bytes.dropLast())
    #expect(decoded.parameters == reply)
    #expect(decoded.continues)
    #expect(text(bytes).contains(#""timestampUnit":"ms""#))
  }

  @Test func everyErrorSurvivesTheTrip() throws {
    let errors: [ControlError] = [
      .unsupportedSocket(reason: "r"), .addressNotServed(local: "l"), .alreadyRegistered(id: "i"),
      .notActive(pair: "p"),
      .noSuchConnection(id: "i"), .noSuchPair(pair: "p"), .noSuchService(service: "s"), .invalidOffset(reason: "r"),
      .limitExceeded(limit: "l"), .notSynced(pair: "p"), .permissionDenied(reason: "r"), .notPromoted(reason: "r"),
      .peerUnfit(pair: "p", reason: "r"),
      .invalidParameter(parameter: "p"),
      .methodNotFound(method: "m"), .methodNotImplemented(method: "m"), .interfaceNotFound(interface: "i"),
      .expectedMore,
    ]
    for error in errors {
      let bytes = try VarlinkCodec.encodeError(error)
      #expect(throws: error) { try VarlinkCodec.decodeReply(RegisterReply.self, from: bytes.dropLast()) }
      let simpleName = String(error.name.split(separator: ".").last ?? "")
      let interface = error.name.hasPrefix("io.holdfast.") ? "io.holdfast" : "org.varlink.service"
      let field = error.parameters.keys.sorted().map { "\($0): string" }.joined(separator: ", ")
      #expect(InterfaceDescription.text(of: interface)?.contains("error \(simpleName) (\(field))") == true)
    }
    let foreign = Array(#"{"error":"x.Y","parameters":{"n":1}}"#.utf8)
    #expect(throws: ControlError.other(name: "x.Y", detail: "")) {
      try VarlinkCodec.decodeReply(RegisterReply.self, from: foreign)
    }
  }

  @Test(arguments: [
    (#"{"method":"m","parameters":{"service":"web"}}"#, "fd"),
    (#"{"method":"m","parameters":{"fd":"0","service":"web"}}"#, "fd"),
    (#"{"method":"m","parameters":{"fd":0.5,"service":"web"}}"#, "parameters"),
    (#"{"method":"m","parameters":{"fd":99999999999999999999,"service":"web"}}"#, "parameters"),
    (#"{"method":"m","parameters":{"fd":0}}"#, "service"),
    (#"{"method":"m","parameters":{"fd":0,"service":null}}"#, "service"),
    (#"{"method":"m","parameters":{"fd":0,"service":"web","retention":"never"}}"#, "retention"),
    (#"{"method":"m","parameters":[]}"#, "parameters"), (#"{"method":"m"}"#, "fd"),
  ])
  func wrongParametersAreNamed(message: String, parameter: String) {
    #expect(throws: ControlError.invalidParameter(parameter: parameter)) {
      try VarlinkCodec.decodeParameters(RegisterCall.self, of: Array(message.utf8))
    }
  }

  @Test func missingAndNullParametersOfACallWithoutObligatoryOnesAreFine() throws {
    for message in [
      #"{"method":"m"}"#, #"{"method":"m","parameters":null}"#, #"{"method":"m","parameters":{"pair":null,"new":1}}"#,
    ] {
      #expect(try VarlinkCodec.decodeParameters(ListConnectionsCall.self, of: Array(message.utf8)) == .init())
    }
  }

  @Test func hostileBytesAreRefusedAndNothingElse() {
    var texts = [
      "", "{", "[]", "null", "1", #""method""#, "{}", #"{"method":1}"#, #"{"method":null}"#,
      #"{"method":"a","more":1}"#,
      String(repeating: "[", count: 100_000), String(repeating: #"{"a":"#, count: 20_000), #"{"method":"\ud800"}"#,
    ].map { Array($0.utf8) }
    texts.append([0xff, 0xfe, 0x7b])
    texts.append(Array(#"{"method":""#.utf8) + [0xc3, 0x28] + Array(#""}"#.utf8))
    for text in texts {
      #expect(throws: (any Error).self) { try VarlinkCodec.decodeHeader(text) }
    }
    // Whatever the bytes are, decoding ends with a value or an error.
    var generator = SystemRandomNumberGenerator()
    let seed = Array(#"{"method":"io.holdfast.Register","parameters":{"fd":0,"service":"web"},"more":true}"#.utf8)
    for _ in 0..<5_000 {
      var bytes = seed
      for _ in 0..<Int.random(in: 1...6, using: &generator) {
        bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 1 ... .max, using: &generator)
      }
      _ = try? VarlinkCodec.decodeHeader(bytes)
      _ = try? VarlinkCodec.decodeParameters(RegisterCall.self, of: bytes)
      _ = try? VarlinkCodec.decodeReply(RegisterReply.self, from: bytes)
    }
  }
}
