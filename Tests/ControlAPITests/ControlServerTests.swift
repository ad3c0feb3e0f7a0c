import Glibc
import SystemCalls
import Testing

@testable import ControlAPI

private let registerCall = #"{"method":"io.holdfast.Register","parameters":{"fd":0,"service":"web"}}"#
private let statusCall = #"{"method":"io.holdfast.GetStatus"}"#
private let statusReply = #"{"parameters":{"node":"alpha","pairs":[]}}"#
private let adoptCall = #"{"method":"io.holdfast.Adopt","parameters":{"service":"web"},"more":true}"#
private let releaseCall = #"{"method":"io.holdfast.Release","parameters":{"id":"1"}}"#

@Suite struct ControlServerTests {
  @Test func aCallIsAnswered() throws {
    let harness = try Harness()
    try harness.send(statusCall)
    #expect(try harness.replies() == [statusReply])
    #expect(harness.connection.wantsRead && !harness.connection.wantsWrite)
  }

  @Test func theServiceDescribesItself() throws {
    let harness = try Harness()
    try harness.send(
      #"{"method":"org.varlink.service.GetInfo"}"#,
      #"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"io.holdfast"}}"#,
      #"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"x.y"}}"#)
    let replies = try harness.replies()
    try #require(replies.count == 3)
    #expect(replies[0].contains(#""interfaces":["org.varlink.service","io.holdfast"]"#))
    #expect(replies[1].contains("interface io.holdfast"))
    #expect(replies[2] == #"{"error":"org.varlink.service.InterfaceNotFound","parameters":{"interface":"x.y"}}"#)
  }

  @Test(arguments: [
    (#"{"method":"io.holdfast.Nothing"}"#, "MethodNotFound"),
    (#"{"method":"org.varlink.service.X"}"#, "MethodNotFound"),
    (#"{"method":"a.b.C"}"#, "InterfaceNotFound"), (#"{"method":"C"}"#, "InterfaceNotFound"),
    (#"{"method":"io.holdfast.Confirm","parameters":{"id":"1","consumed":1}}"#, "MethodNotImplemented"),
    (#"{"method":"io.holdfast.Monitor","more":true}"#, "MethodNotImplemented"),
    (#"{"method":"io.holdfast.Adopt","parameters":{"service":"web"}}"#, "ExpectedMore"),
    (#"{"method":"io.holdfast.Release","parameters":{}}"#, "InvalidParameter"),
    (#"{"method":"io.holdfast.GetStatus","upgrade":true}"#, "InvalidParameter"),
  ])
  func callsThatCannotBeAnsweredGetTheErrorAndTheConnectionGoesOn(call: String, error: String) throws {
    let harness = try Harness()
    try harness.send(call, statusCall)
    let replies = try harness.replies()
    try #require(replies.count == 2)
    #expect(replies[0].hasPrefix(#"{"error":"org.varlink.service.\#(error)""#))
    #expect(replies[1] == statusReply)
  }

  @Test func pipelinedCallsAreAnsweredInTheirOrderWhateverTheHandlersOrder() throws {
    let harness = try Harness()
    let file = try markedFile(1)
    try harness.send(registerCall, descriptors: [file.number])
    try harness.send(releaseCall, statusCall)
    #expect(try harness.replies() == [])
    harness.handler.releases[0].reply.succeed()
    #expect(try harness.replies() == [])
    harness.handler.registrations[0].reply.fail(.notActive(pair: "web"))
    #expect(
      try harness.replies() == [
        #"{"error":"io.holdfast.NotActive","parameters":{"pair":"web"}}"#, #"{"parameters":{}}"#, statusReply,
      ])
  }

  @Test func onewayCallsAreCarriedOutAndNotAnswered() throws {
    let harness = try Harness()
    try harness.send(
      #"{"method":"io.holdfast.Release","parameters":{"id":"1"},"oneway":true}"#,
      #"{"method":"io.holdfast.Nothing","oneway":true}"#, statusCall)
    #expect(try harness.replies() == [])
    #expect(harness.handler.releases[0].reply.succeed())
    #expect(try harness.replies() == [statusReply])
  }

  @Test func aReplyIsGivenOnce() throws {
    let harness = try Harness()
    try harness.send(releaseCall)
    let reply = harness.handler.releases[0].reply
    #expect(reply.succeed())
    #expect(!reply.succeed())
    #expect(!reply.fail(.expectedMore))
    #expect(try harness.replies() == [#"{"parameters":{}}"#])
  }

  @Test func manyRepliesFollowACallThatSaidMore() throws {
    let harness = try Harness()
    try harness.send(adoptCall)
    let reply = harness.handler.adoptions[0].reply
    for index in 1...3 {
      #expect(
        reply.succeed(
          AdoptReply(connection: connectionInfo("\(index)"), fd: 77),
          descriptor: SharedDescriptor(try markedFile(UInt8(index))),
          continues: true))
      // One at a time, as a client must read them to tell whose each descriptor is.
      let replies = try harness.replies()
      #expect(replies.count == 1 && replies[0].hasPrefix(#"{"continues":true"#) && replies[0].contains(#""fd":0"#))
      guard let taken = harness.received.take(at: index - 1) else {
        Issue.record("no descriptor")
        continue
      }
      #expect(mark(of: taken.number) == UInt8(index))
    }
    #expect(reply.fail(.notActive(pair: "web")))
    #expect(try harness.replies().count == 1)
  }

  @Test func aMissingDescriptorIsAWrongParameter() throws {
    let harness = try Harness()
    let file = try markedFile(1)
    try harness.send(registerCall)
    for index in [1, -1] {
      try harness.send(
        #"{"method":"io.holdfast.Register","parameters":{"fd":\#(index),"service":"web"}}"#, descriptors: [file.number])
    }
    let refusal = #"{"error":"org.varlink.service.InvalidParameter","parameters":{"parameter":"fd"}}"#
    #expect(try harness.replies() == [refusal, refusal, refusal])
    #expect(harness.handler.registrations.isEmpty)
  }

  @Test func descriptorsThatNobodyAskedForAreClosed() throws {
    let harness = try Harness()
    var ends: [Int32] = [-1, -1]
    try #require(pipe(&ends) == 0)
    try harness.send(statusCall, descriptors: [ends[1], ends[1]])
    close(ends[1])
    var byte: UInt8 = 0
    #expect(read(ends[0], &byte, 1) == 0)
    close(ends[0])
    #expect(try harness.replies() == [statusReply])
  }

  @Test func joinedMessagesGiveTheDescriptorToTheLastOfTheRead() throws {
    let harness = try Harness()
    let file = try markedFile(3)
    try harness.sendRaw(Array(statusCall.utf8) + [0])
    try harness.sendRaw(Array(registerCall.utf8) + [0], descriptors: [file.number])
    try harness.sendRaw(Array(statusCall.utf8) + [0])
    harness.turn()
    #expect(harness.handler.registrations.map { mark(of: $0.descriptor) } == [3])
    #expect(harness.handler.statuses == 2)
  }

  @Test func aCallLongerThanOnePieceKeepsItsDescriptor() throws {
    let harness = try Harness()
    let file = try markedFile(4)
    let key = String(repeating: "k", count: 150_000)
    let bytes = Array(#"{"method":"io.holdfast.Register","parameters":{"fd":0,"service":"web","key":"\#(key)"}}"#.utf8)
    try harness.sendRaw(Array(statusCall.utf8) + [0])
    var rest = (bytes + [0])[...]
    var descriptors = [file.number]
    while !rest.isEmpty {
      let sent = try DescriptorPassing.send(rest, descriptors: descriptors, over: harness.client)
      if let sent {
        rest = rest.dropFirst(sent)
        descriptors = []
      }
      harness.turn()
    }
    #expect(harness.handler.registrations.map { mark(of: $0.descriptor) } == [4])
    #expect(harness.handler.registrations.first?.call.key?.utf8.count == 150_000)
    #expect(harness.handler.statuses == 1)
  }

  @Test func aCallMayComeByteByByte() throws {
    let harness = try Harness()
    for byte in Array(statusCall.utf8) + [0] {
      try harness.sendRaw([byte])
      harness.turn()
    }
    #expect(try harness.replies() == [statusReply])
  }
}
