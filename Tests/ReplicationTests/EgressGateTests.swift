import Modelling
import Replication
import Testing

@Suite struct EgressGateTests {
  @Test func onlyThePrefixThatTheStandbyHoldsLeaves() {
    var gate = EgressGate()
    gate.hold(1, until: 100)
    gate.hold(2, until: 100)
    gate.hold(3, until: 250)
    #expect(gate.release() == nil)
    gate.commit(99)
    #expect(gate.release() == nil)
    gate.commit(100)
    #expect(gate.release() == 2)
    #expect(gate.release() == nil)
    #expect(gate.waitingCount == 1)
    // Acknowledgements are cumulative: an earlier one takes nothing back and adds nothing.
    gate.commit(10)
    #expect(gate.committed == 100)
    gate.commit(251)
    #expect(gate.release() == 3)
    #expect(gate.waitingCount == 0)
  }

  /// A packet whose record is on the standby already (a bare retransmission of what is known, say) does not wait at all.
  @Test func whatIsCommittedLeavesAtOnce() {
    var gate = EgressGate()
    gate.commit(500)
    gate.hold(9, until: 500)
    #expect(gate.release() == 9)
  }

  @Test func anOpenGateHoldsNothingAndAShutOneHoldsAgain() {
    var gate = EgressGate(isOpen: true)
    gate.hold(1, until: 1000)
    #expect(gate.release() == 1)
    gate.close()
    gate.hold(2, until: 1000)
    #expect(gate.release() == nil)
    gate.open()
    #expect(gate.release() == 2)
  }

  /// Packets that waited for one standby go on waiting, for the next.
  @Test func whatWaitsBehindAShutGateLeavesInOrderLater() {
    var gate = EgressGate()
    for packet in 1...5 as ClosedRange<UInt32> { gate.hold(packet, until: UInt64(packet) * 10) }
    gate.commit(30)
    #expect(gate.release() == 3)
    gate.open()
    gate.close()
    #expect(gate.release() == nil)
    #expect(gate.waitingCount == 2)
    #expect(gate.forgetAll() == 5)
    #expect(gate.forgetAll() == nil)
    #expect(gate.waitingCount == 0)
    gate.commit(1000)
    #expect(gate.release() == nil)
  }

  /// Against a list that does what the gate is to do, through thousands of packets, so that the ring wraps and grows.
  @Test(arguments: 0..<30)
  func theGateIsAQueueWithAMark(_ seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var gate = EgressGate()
    var model: [(packet: UInt32, position: UInt64)] = []
    var committed: UInt64 = 0
    var isOpen = false
    var next: UInt32 = .max - 3000
    var position: UInt64 = 0
    for step in 0..<4000 {
      switch random.below(100) {
      case 0..<60:
        for _ in 0..<random.within(1...(random.chance(5) ? 900 : 8)) {
          position += UInt64(random.below(50))
          next &+= 1
          gate.hold(next, until: position)
          model.append((next, position))
        }
      case 60..<97:
        let target = random.chance(20) ? position : position > 3000 ? position - UInt64(random.below(3000)) : 0
        committed = max(committed, target)
        gate.commit(target)
      case 97: gate.open(); isOpen = true
      default: gate.close(); isOpen = false
      }
      let leaving = model.prefix { isOpen || $0.position <= committed }
      let isSame = gate.release() == leaving.last?.packet && gate.waitingCount == model.count - leaving.count
      model.removeFirst(leaving.count)
      guard isSame else { Issue.record("seed \(seed), step \(step)"); return }
    }
  }
}
