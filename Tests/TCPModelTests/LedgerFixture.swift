import Modelling
import TCPModel

/// A ledger at round numbers: the peer's stream begins at 1000, ours at 5000, the host offers 10,000 bytes, the peer 20,000.
struct LedgerFixture {
  let ledger: Ledger

  init(_ ledger: Ledger) { self.ledger = ledger }

  init(_ change: (inout LedgerImage) -> Void = { _ in }) {
    var image = ModelConnection(seed: 1, shape: .init(input: 1, output: 1)).baseline
    image.state.negotiated.sendWindowScale = 0
    image.state.negotiated.receiveWindowScale = 0
    image.state.sndUna = SequenceNumber(5000)
    image.state.sndNxt = SequenceNumber(5000)
    image.state.copiedSeq = SequenceNumber(1000)
    image.state.rcvNxt = SequenceNumber(1000)
    image.state.window = WindowState(
      sendWindowUpdate: SequenceNumber(999), sendWindow: 20_000, maximumWindow: 20_000, receiveWindow: 10_000,
      receiveWindowUpdate: SequenceNumber(1000))
    image.state.timestamp = TimestampClock(value: 100, moment: 0, unit: .milliseconds)
    image.offeredEdge = SequenceNumber(11_000)
    image.reportedConsumed = SequenceNumber(1000)
    change(&image)
    ledger = Ledger(image)
  }

  func ingress(
    _ sequence: UInt32, _ payload: String = "", ack: UInt32 = 5000, window: UInt16 = 20_000,
    flags: SegmentHeader.Flags = .ack, stamp: UInt32? = nil
  ) {
    let header = SegmentHeader(
      sequence: SequenceNumber(sequence), acknowledgement: SequenceNumber(ack), window: window, flags: flags,
      hasTimestamp: stamp != nil, timestampValue: stamp ?? 0)
    Array(payload.utf8).withUnsafeBytes { ledger.apply(.ingress(header, $0)) }
  }

  func egress(
    _ sequence: UInt32, _ payload: String = "", ack: UInt32 = 1000, window: UInt16 = 10_000,
    flags: SegmentHeader.Flags = .ack, stamp: UInt32? = nil, now: UInt64 = 0
  ) {
    let header = SegmentHeader(
      sequence: SequenceNumber(sequence), acknowledgement: SequenceNumber(ack), window: window, flags: flags,
      hasTimestamp: stamp != nil, timestampValue: stamp ?? 0)
    Array(payload.utf8).withUnsafeBytes { ledger.apply(.egress(header, $0, at: now)) }
  }

  var input: String { String(decoding: ledger.state.receiveQueue, as: UTF8.self) }
  var output: String { String(decoding: ledger.state.sendQueue, as: UTF8.self) }
}
