import Modelling
import TCPModel
import Testing

/// The ledger against the model of both kernels: whatever the network does to the packets, the ledger says what the host's
/// kernel and its peer agree on.
@Suite struct LedgerFoldTests {
  static let shapes: [ModelConnection.Shape] = [
    .init(input: 4_000, output: 4_000, buffer: 1500), .init(input: 3_000, output: 3_000, wraps: true, buffer: 1000),
    .init(input: 3_000, output: 2_000, inputCloses: true, outputCloses: true, wraps: true),
    .init(input: 2_000, output: 0, inputCloses: true), .init(input: 0, output: 2_000, outputCloses: true),
    // Windows of a few bytes: mostly closed.
    .init(input: 400, output: 400, inputCloses: true, wraps: true, buffer: 64),
  ]

  /// What must hold between any two packets.
  static func compare(_ ledger: Ledger, _ model: ModelConnection, _ context: @autoclosure () -> String) -> Bool {
    let state = ledger.state
    let matches =
      state.sndUna == model.sndUna && state.sndNxt == model.sndNxt && state.rcvNxt == model.told
      && state.finSent == model.finSent && state.finReceived == model.finTold && state.sendQueue == model.sendQueue
      && state.receiveQueue == model.receiveQueue && ledger.input.consumed == Int64(model.consumed)
      && ledger.output.sent == Int64(model.sent) && state.window.sendWindow == model.sendWindow
      && state.window.receiveWindow == model.receiveWindow && state.window.receiveWindowUpdate == model.told
      && ledger.obstacle == nil
    guard !matches else { return true }
    Issue.record(
      """
      \(context()): una \(state.sndUna)/\(model.sndUna) nxt \(state.sndNxt)/\(model.sndNxt) rcv \(state.rcvNxt)/\(model.told) \
      fins \(state.finSent)/\(model.finSent) \(state.finReceived)/\(model.finTold) queues \(state.sendQueue.count)/\
      \(model.sendQueue.count) \(state.receiveQueue.count)/\(model.receiveQueue.count) consumed \(ledger.input.consumed)/\
      \(model.consumed) sent \(ledger.output.sent)/\(model.sent) windows \(state.window.sendWindow)/\(model.sendWindow) \
      \(state.window.receiveWindow)/\(model.receiveWindow) obstacle \(ledger.obstacle ?? "none")
      """)
    return false
  }

  @Test(arguments: shapes.indices, 0..<12)
  func theLedgerIsWhatTheKernelsAgreeOn(_ shape: Int, _ seed: UInt64) {
    var model = ModelConnection(seed: seed, shape: Self.shapes[shape])
    let ledger = Ledger(model.baseline)
    for step in 0..<60_000 where !model.isDone {
      for event in model.step() { ledger.fold(event) }
      guard Self.compare(ledger, model, "seed \(seed), step \(step)") else { return }
    }
    #expect(model.isDone, "seed \(seed) did not come to an end")
    #expect(ledger.input.received == Int64(Self.shapes[shape].input))
    #expect(ledger.output.sent == Int64(Self.shapes[shape].output))
  }

  /// A record may come twice, and a ledger may be told what it knows: nothing changes by it.
  @Test(arguments: shapes.indices, 0..<4)
  func foldingTwiceIsFoldingOnce(_ shape: Int, _ seed: UInt64) {
    var model = ModelConnection(seed: 50 + seed, shape: Self.shapes[shape])
    let once = Ledger(model.baseline)
    let twice = Ledger(model.baseline)
    for _ in 0..<60_000 where !model.isDone {
      for event in model.step() {
        once.fold(event)
        twice.fold(event)
        twice.fold(event)
      }
      guard Self.compare(twice, model, "seed \(seed)") else { return }
    }
    #expect(once.image == twice.image)
  }

  /// What a new standby is brought up to date with is the ledger: from any moment on both go on alike.
  @Test(arguments: shapes.indices, 0..<4)
  func aLedgerGoesOnFromItsImage(_ shape: Int, _ seed: UInt64) {
    var model = ModelConnection(seed: 80 + seed, shape: Self.shapes[shape])
    var random = SeededGenerator(seed: seed)
    let original = Ledger(model.baseline)
    var copies = [Ledger(model.baseline)]
    for _ in 0..<60_000 where !model.isDone {
      for event in model.step() {
        original.fold(event)
        for copy in copies { copy.fold(event) }
      }
      if random.chance(1) {
        let image = original.image
        for copy in copies { #expect(copy.image == image) }
        let copy = Ledger(image)
        #expect(copy.image == image)
        copies = [copies[0], copy]
      }
    }
    for copy in copies { #expect(copy.image == original.image) }
  }

  /// The two streams are the same however often they are sent: only their content is left in the end.
  @Test(arguments: 0..<6)
  func everyScheduleEndsInTheSameLedger(_ input: Int) {
    let shape = ModelConnection.Shape(
      input: 3000 + input, output: 4000, inputCloses: true, outputCloses: true, wraps: true)
    var ends: Set<[Int64]> = []
    for seed in 0..<5 {
      var model = ModelConnection(seed: UInt64(seed * 100 + input), shape: shape)
      let ledger = Ledger(model.baseline)
      for _ in 0..<60_000 where !model.isDone { for event in model.step() { ledger.fold(event) } }
      let state = ledger.state
      ends.insert([
        ledger.input.received, ledger.input.consumed, ledger.output.sent, Int64(state.sendQueue.count),
        Int64(state.receiveQueue.count), Int64(state.rcvNxt.distance(from: model.start.rcvNxt)),
        Int64(state.sndUna.distance(from: model.start.sndUna)),
      ])
    }
    #expect(ends == [[Int64(3000 + input), Int64(3000 + input), 4000, 0, 0, Int64(3001 + input), 4001]])
  }
}
