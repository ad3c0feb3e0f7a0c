import CLinux
import Glibc
import LinuxNetwork
import SystemCalls
import SystemPackage
import Testing

/// Descriptors that do not fit into this process. Other tests would feel it, hence here, where one runs after the other.
@Suite struct DescriptorTableTests {
  @Test func aFullTableIsAnErrorAndLeavesNothingOpen() throws {
    var pair: [Int32] = [-1, -1]
    try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0)
    let sender = Descriptor(owning: pair[0])
    let receiver = Descriptor(owning: pair[1])
    var ends: [Int32] = [-1, -1]
    try #require(pipe(&ends) == 0)
    try UnixSocket.setNonblocking(ends[0])
    let reader = Descriptor(owning: ends[0])
    _ = try DescriptorPassing.send([1][...], descriptors: [Int32](repeating: ends[1], count: 200), over: sender.number)
    close(ends[1])

    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    let former = limit
    // The next free number, and room for four more at most.
    limit.rlim_cur = rlim_t(try receiver.duplicate().release() + 5)
    close(Int32(limit.rlim_cur) - 5)
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    var arrived = ReceivedDescriptors()
    var space = [UInt8](repeating: 0, count: 16)
    let result = Result {
      try space.withUnsafeMutableBytes {
        try DescriptorPassing.receive(into: $0, adding: &arrived, over: receiver.number)
      }
    }
    var restored = former
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &restored)

    #expect(throws: DescriptorPassingError.descriptorsLost) { try result.get() }
    let count = arrived.count
    #expect(count == 0)
    // The pipe ends when its last writing end has gone; until then there is nothing to read (EAGAIN).
    var byte: UInt8 = 0
    #expect(read(reader.number, &byte, 1) == 0)
  }

  /// Who cannot look into /proc has not seen that a socket is nowhere, nor that a process is gone.
  @Test func aSearchWithoutADescriptorToOpenFindsNothingOutAndSaysWhy() throws {
    let free = dup(0)
    try #require(free >= 0)
    close(free)
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    var former = limit
    limit.rlim_cur = rlim_t(free)
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    var scan = HolderScan(for: [1], likely: [getppid()])
    let isDone = scan.advance(descriptors: 100)
    let parentIsGone = SocketHolders.isGone(getppid(), startedAt: nil)
    let nobodyIsGone = SocketHolders.isGone(.max, startedAt: nil)
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &former)
    #expect(isDone && scan.missing == [1])
    #expect(scan.blindness?.errno == .tooManyOpenFiles)
    #expect(scan.blindness?.description.contains("LimitNOFILE") == true)
    #expect(!parentIsGone && nobodyIsGone)
  }
}
