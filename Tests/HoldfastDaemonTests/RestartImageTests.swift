import LinuxNetwork
import SystemCalls
import TCPModel
import Testing

@testable import HoldfastDaemon

/// What one daemon leaves to the next is read as it was written, and nothing else is read at all.
@Suite struct RestartImageTests {
  private static func connection(_ number: UInt64, queue: [UInt8]) throws -> RestartImage.Connection {
    let flow = Flow(local: try #require(Endpoint("10.77.0.100:80")), peer: try #require(Endpoint("10.77.0.9:4000")))
    let start = SequenceNumber(UInt32.max - 1)
    let state = ConnectionState(
      flow: flow, isMapped: false,
      negotiated: NegotiatedOptions(
        maximumSegmentSize: 1460, sendWindowScale: 7, receiveWindowScale: 7, windowScaling: true,
        selectiveAcknowledgements: true, timestampUnit: .milliseconds),
      sndUna: start, sndNxt: start + queue.count, sendQueue: queue, finSent: false, copiedSeq: start, rcvNxt: start,
      receiveQueue: [], finReceived: false,
      window: WindowState(
        sendWindowUpdate: start, sendWindow: 65535, maximumWindow: 65535, receiveWindow: 65535,
        receiveWindowUpdate: start),
      timestamp: TimestampClock(value: 77, moment: 900, unit: .milliseconds),
      options: SocketOptions(congestionControl: "cubic"))
    let identity = ConnectionIdentity(id: number, service: "web", key: "k", retention: .confirm)
    return RestartImage.Connection(
      counters: KernelCounters(rcvNxt: 1, sndUna: .max, bytesReceived: .max, bytesAcknowledged: 3),
      owner: PeerCredentials(process: 7, user: 1000, group: 100), holder: SocketHolder(process: 7, descriptor: 12),
      holderStart: 12345, isOrphan: false, isClosing: true, isEnding: false, isOffered: true, isHasty: true,
      ledger: LedgerImage(registering: state, as: identity, unsent: 0))
  }

  private static func image() throws -> RestartImage {
    var image = RestartImage(moment: 1000)
    image.pairs = [
      RestartImage.Pair(
        name: "web", epoch: 1 << 40, counter: 2,
        connections: [try connection(1, queue: [1, 2, 3]), try connection(2, queue: [])]),
      RestartImage.Pair(name: "mail", epoch: 3, counter: 0, connections: []),
    ]
    return image
  }

  @Test func itComesBack() throws {
    let image = try Self.image()
    let read = try RestartImage(decoding: try image.encoded)
    #expect(read.moment == 1000)
    #expect(read.pairs.map(\.name) == ["web", "mail"])
    #expect(read.pair("web")?.epoch == 1 << 40 && read.pair("web")?.counter == 2)
    for (one, other) in zip(image.pairs[0].connections, try #require(read.pair("web")).connections) {
      #expect(one.ledger == other.ledger)
      #expect(one.owner == other.owner && one.holder == other.holder && one.holderStart == other.holderStart)
      #expect(other.isClosing && other.isOffered && !other.isEnding && other.isHasty == true)
      #expect(other.counters.bytesReceived == .max && other.counters.sndUna == .max)
    }
  }

  @Test(arguments: [1 << 62, UInt64.max])
  func anEpochThatCannotBeIsRefused(_ epoch: UInt64) throws {
    var image = try Self.image()
    image.pairs[0].epoch = epoch
    let bytes = try image.encoded
    #expect(throws: RestartImage.Unusable.self) { try RestartImage(decoding: bytes) }
  }

  @Test func aPartOfItIsRefusedWhereverItIsCut() throws {
    let bytes = try Self.image().encoded
    for count in 0..<bytes.count {
      #expect(throws: RestartImage.Unusable.self) { try RestartImage(decoding: Array(bytes[..<count])) }
    }
  }

  @Test func anotherReleasesFormIsRefusedAndSaysSo() throws {
    var image = try Self.image()
    image.version = 2
    let bytes = try image.encoded
    do {
      _ = try RestartImage(decoding: bytes)
      Issue.record("it was read")
    } catch {
      #expect("\(error)".contains("form 2"))
    }
  }
}
