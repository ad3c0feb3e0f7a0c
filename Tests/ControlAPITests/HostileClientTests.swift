import Glibc
import SystemCalls
import Testing

@testable import ControlAPI

private let statusCall = #"{"method":"io.holdfast.GetStatus"}"#
private let releaseCall = #"{"method":"io.holdfast.Release","parameters":{"id":"1"}}"#
private let listCall = #"{"method":"io.holdfast.ListConnections"}"#
private let adoptCall = #"{"method":"io.holdfast.Adopt","parameters":{"service":"web"},"more":true}"#

@Suite struct HostileClientTests {
  private func limits(_ change: (inout ControlLimits) -> Void) -> ControlLimits {
    var limits = ControlLimits()
    change(&limits)
    return limits
  }

  @Test func whatIsNoCallIsAnsweredWithAnErrorAndTheConnectionCloses() throws {
    let harness = try Harness()
    try harness.send(statusCall, "}{", statusCall)
    let replies = try harness.replies()
    #expect(replies.count == 2)
    #expect(replies.last?.hasPrefix(#"{"error":"org.varlink.service.InvalidParameter""#) == true)
    #expect(harness.connection.isClosed)
    #expect(harness.handler.statuses == 1)
    #expect(harness.handler.gone == 1)
  }

  @Test func aCallThatIsTooLongIsRefusedAtTheLimitAndSkipped() throws {
    let harness = try Harness(limits: limits { $0.messageLength = 1000 })
    try harness.send(releaseCall)
    try harness.sendRaw([UInt8](repeating: 0x20, count: 1001))
    harness.turn()
    // The rest of it brings descriptors, which nobody can name any more.
    let file = try markedFile(7)
    var status = stat()
    try #require(fstat(file.number, &status) == 0)
    for _ in 0..<10 {
      try harness.sendRaw([UInt8](repeating: 0x20, count: 1000), descriptors: [file.number])
      harness.turn()
    }
    #expect(openDescriptors(of: status) == 1)
    try harness.sendRaw([0])
    try harness.send(statusCall)
    harness.handler.releases[0].reply.succeed()
    let replies = try harness.replies()
    #expect(replies.count == 3 && replies[0] == #"{"parameters":{}}"#)
    #expect(replies[1].contains("io.holdfast.LimitExceeded") && replies[1].contains("1000 bytes"))
    #expect(replies[2].contains("alpha") && !harness.connection.isClosed)
  }

  private func openDescriptors(of file: stat) -> Int {
    (0..<Int32(1024)).count { number in
      var status = stat()
      return fstat(number, &status) == 0 && status.st_ino == file.st_ino && status.st_dev == file.st_dev
    }
  }

  @Test func whatIsNoCallEndsAConnectionThatStillWaitsForReplies() throws {
    let harness = try Harness()
    var hangups = 0
    try harness.send(releaseCall)
    harness.handler.releases[0].reply.onHangup = { hangups += 1 }
    try harness.send("?")
    #expect(harness.connection.isClosed)
    #expect(hangups == 1)
    #expect(harness.handler.releases[0].reply.isCancelled)
    #expect(!harness.handler.releases[0].reply.succeed())
  }

  /// A client may send all its calls without waiting: they are taken as fast as they are answered.
  @Test func callsBeyondTheLimitWaitUntilOthersAreAnswered() throws {
    let harness = try Harness(limits: limits { $0.pendingCalls = 2 })
    try harness.sendRaw((0..<500).flatMap { _ in Array(releaseCall.utf8) + [UInt8(0)] })
    harness.turn()
    for answered in 0..<500 {
      try #require(harness.handler.releases.count == min(answered + 2, 500))
      harness.handler.releases[answered].reply.succeed()
      harness.turn()
    }
    var replies = 0
    while harness.connection.wantsWrite {
      replies += try harness.replies().count
      harness.turn()
    }
    #expect(try replies + harness.replies().count == 500)
    #expect(!harness.connection.isClosed)
  }

  @Test func callsBehindOneThatWaitsForEverAreRefusedAndAFloodIsDropped() throws {
    let harness = try Harness(limits: limits { $0.pendingCalls = 2 })
    try harness.send(adoptCall)
    for _ in 0..<3 { try harness.send(releaseCall) }
    #expect(harness.handler.releases.count == 1)
    #expect(!harness.connection.isClosed)
    try harness.send(releaseCall)
    #expect(harness.connection.isClosed)
  }

  @Test func aClientThatDoesNotReadIsDropped() throws {
    let harness = try Harness(limits: limits { $0.bufferedOutput = 100_000 })
    try harness.send(adoptCall)
    let reply = harness.handler.adoptions[0].reply
    var hangups = 0
    reply.onHangup = { hangups += 1 }
    var delivered = 0
    while delivered < 100_000, reply.succeed(AdoptReply(connection: connectionInfo("\(delivered)")), continues: true) {
      delivered += 1
    }
    #expect(delivered < 100_000)
    #expect(reply.isCancelled)
    #expect(hangups == 0, "an answer must not call the handler back")
    #expect(!harness.connection.isClosed)
    harness.turn()
    #expect(harness.connection.isClosed)
    #expect(hangups == 1)
  }

  @Test func aSlowReaderGetsEverythingInOrder() throws {
    let harness = try Harness()
    try harness.send(adoptCall)
    let reply = harness.handler.adoptions[0].reply
    for index in 0..<3000 {
      #expect(reply.succeed(AdoptReply(connection: connectionInfo("\(index)")), continues: true))
    }
    #expect(harness.connection.wantsWrite)
    var replies: [String] = []
    while harness.connection.wantsWrite {
      replies += try harness.replies()
      harness.turn()
    }
    replies += try harness.replies()
    #expect(replies.count == 3000)
    for (index, text) in replies.enumerated() { #expect(text.contains(#""id":"\#(index)""#)) }
  }

  @Test func oneReplyMayBeLongerThanTheBuffer() throws {
    let harness = try Harness(limits: limits { $0.bufferedOutput = 1000 })
    try harness.send(listCall)
    harness.handler.lists[0].succeed(
      ListConnectionsReply(connections: (0..<5000).map { connectionInfo("\($0)") }))
    var replies: [String] = []
    while replies.isEmpty, !harness.connection.isClosed {
      replies += try harness.replies()
      harness.turn()
    }
    #expect(replies.count == 1 && replies[0].contains(#""id":"4999""#))
  }

  @Test func aHangupInMidCallIsToldToTheHandlerOnce() throws {
    let harness = try Harness()
    var hangups = 0
    var updates = 0
    try harness.send(adoptCall, releaseCall)
    harness.handler.adoptions[0].reply.onHangup = { hangups += 1 }
    harness.connection.onUpdate = { [unowned connection = harness.connection] in
      updates += 1
      #expect(connection.isClosed)
      #expect(fcntl(connection.descriptorNumber, F_GETFD) >= 0, "still open, so that it can leave the event loop")
    }
    harness.hangUp()
    harness.turn()
    harness.connection.readable()
    harness.connection.writable()
    #expect(harness.connection.isClosed)
    #expect(hangups == 1 && updates == 1 && harness.handler.gone == 1)
    #expect(harness.handler.adoptions[0].reply.isCancelled)
    #expect(
      !harness.handler.adoptions[0].reply.succeed(
        AdoptReply(connection: connectionInfo("1")), descriptor: SharedDescriptor(try markedFile(1)), continues: true))
  }

  @Test func anAnswerToAClientThatHasJustGoneIsNotDelivered() throws {
    let harness = try Harness()
    try harness.send(adoptCall)
    harness.hangUp()
    let reply = harness.handler.adoptions[0].reply
    #expect(
      !reply.succeed(
        AdoptReply(connection: connectionInfo("1")), descriptor: SharedDescriptor(try markedFile(1)), continues: true))
    #expect(!harness.connection.isClosed)
    harness.turn()
    #expect(harness.connection.isClosed)
  }

  @Test func aClientThatShutsItsWritingHalfStillGetsItsReplies() throws {
    let harness = try Harness()
    try harness.send(releaseCall)
    shutdown(harness.client, Int32(SHUT_WR))
    harness.turn()
    #expect(!harness.connection.isClosed && !harness.connection.wantsRead)
    harness.handler.releases[0].reply.succeed()
    harness.turn()
    #expect(try harness.replies() == [#"{"parameters":{}}"#])
    #expect(harness.connection.isClosed)
  }

  @Test func halfOfACallAndThenNothingIsNoCall() throws {
    let harness = try Harness()
    try harness.sendRaw(Array(releaseCall.utf8))
    harness.hangUp()
    harness.turn()
    #expect(harness.connection.isClosed)
    #expect(harness.handler.releases.isEmpty)
  }

  @Test func clientsBeyondTheLimitAreToldSo() throws {
    let harness = try Harness(limits: limits { $0.clients = 1 })
    let second = try UnixSocket.connect(to: harness.path)
    #expect(try harness.server.accept(handler: harness.handler) == nil)
    var space = [UInt8](repeating: 0, count: 1000)
    let count = read(second.number, &space, space.count)
    #expect(String(decoding: space.prefix(max(0, count)), as: UTF8.self).contains("io.holdfast.LimitExceeded"))
    harness.hangUp()
    harness.turn()
    let third = try UnixSocket.connect(to: harness.path)
    #expect(try harness.server.accept(handler: harness.handler) != nil)
    withExtendedLifetime((second.number, third.number)) {}
  }
}
