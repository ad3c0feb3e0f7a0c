import Glibc
import SystemCalls
import Testing

@Suite struct DescriptorPassingTests {
  private func receive(_ socket: Int32, into descriptors: inout ReceivedDescriptors, size: Int = 4096) throws
    -> [UInt8]?
  {
    var space = [UInt8](repeating: 0, count: size)
    let count = try space.withUnsafeMutableBytes {
      try DescriptorPassing.receive(into: $0, adding: &descriptors, over: socket)
    }
    return count.map { Array(space[..<$0]) }
  }

  @Test func severalDescriptorsArriveInOrderAndCloseOnExec() throws {
    let pair = try SocketPair()
    let one = try markedFile(1)
    let two = try markedFile(2)
    #expect(
      try DescriptorPassing.send([7, 8][...], descriptors: [one.number, two.number, one.number], over: pair.first) == 2)
    var descriptors = ReceivedDescriptors()
    #expect(try receive(pair.second, into: &descriptors) == [7, 8])
    #expect(descriptors.count == 3)
    for (index, expected) in [1, 2, 1].enumerated() {
      guard let taken = descriptors.take(at: index) else {
        Issue.record("no descriptor \(index)")
        continue
      }
      #expect(mark(of: taken.number) == UInt8(expected))
      #expect(taken.number != one.number && taken.number != two.number)
      #expect(fcntl(taken.number, F_GETFD) & FD_CLOEXEC != 0)
    }
    let again = descriptors.take(at: 0) == nil
    let beyond = descriptors.take(at: 3) == nil
    let negative = descriptors.take(at: -1) == nil
    #expect(again && beyond && negative)
  }

  @Test func asManyAsTheKernelAllowsArriveAndOneMoreIsRefused() throws {
    let pair = try SocketPair()
    let file = try markedFile(1)
    let most = [Int32](repeating: file.number, count: DescriptorPassing.maximum)
    #expect(try DescriptorPassing.send([1][...], descriptors: most, over: pair.first) == 1)
    var descriptors = ReceivedDescriptors()
    #expect(try receive(pair.second, into: &descriptors) == [1])
    #expect(descriptors.count == 253)
    #expect(throws: SystemCallError.self) {
      try DescriptorPassing.send([1][...], descriptors: most + [file.number], over: pair.first)
    }
  }

  @Test func whatNobodyTakesIsClosed() throws {
    let pair = try SocketPair()
    var ends: [Int32] = [-1, -1]
    try #require(pipe(&ends) == 0)
    _ = try DescriptorPassing.send([1][...], descriptors: [ends[1]], over: pair.first)
    close(ends[1])
    do {
      var descriptors = ReceivedDescriptors()
      _ = try receive(pair.second, into: &descriptors)
      #expect(descriptors.count == 1)
    }
    // The pipe ends when its last writing end has gone.
    var byte: UInt8 = 0
    #expect(read(ends[0], &byte, 1) == 0)
    close(ends[0])
  }

  @Test func truncatedControlDataIsAnErrorAndLeavesNothingOpen() throws {
    let pair = try SocketPair()
    var ends: [Int32] = [-1, -1]
    try #require(pipe(&ends) == 0)
    _ = try DescriptorPassing.send([1][...], descriptors: [Int32](repeating: ends[1], count: 20), over: pair.first)
    close(ends[1])
    var descriptors = ReceivedDescriptors()
    var space = [UInt8](repeating: 0, count: 16)
    #expect(throws: DescriptorPassingError.descriptorsLost) {
      try space.withUnsafeMutableBytes {
        try DescriptorPassing.receive(into: $0, adding: &descriptors, over: pair.second, room: 16)
      }
    }
    let left = descriptors.count
    #expect(left == 0)
    var byte: UInt8 = 0
    #expect(read(ends[0], &byte, 1) == 0)
    close(ends[0])
  }

  @Test func aReadEndsWithTheWriteThatCarriedDescriptors() throws {
    let pair = try SocketPair()
    let file = try markedFile(1)
    _ = try DescriptorPassing.send([1][...], over: pair.first)
    _ = try DescriptorPassing.send([2][...], descriptors: [file.number], over: pair.first)
    _ = try DescriptorPassing.send([3][...], over: pair.first)
    var descriptors = ReceivedDescriptors()
    #expect(try receive(pair.second, into: &descriptors) == [1, 2])
    #expect(descriptors.count == 1)
    #expect(try receive(pair.second, into: &descriptors) == [3])
    #expect(descriptors.count == 1)
  }

  @Test func aNonblockingReadOfNothingIsNilAndTheEndIsZero() throws {
    let pair = try SocketPair()
    try UnixSocket.setNonblocking(pair.second)
    var descriptors = ReceivedDescriptors()
    #expect(try receive(pair.second, into: &descriptors) == nil)
    UnixSocket.shutDown(pair.first)
    #expect(try receive(pair.second, into: &descriptors) == [])
    #expect(UnixSocket.isHungUp(pair.second))
  }
}
