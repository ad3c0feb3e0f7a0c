internal import CLinux
internal import Glibc
internal import SystemPackage

/// Descriptors that came with bytes, in the order in which they were sent. Whichever nobody takes are closed with the value.
public struct ReceivedDescriptors: ~Copyable {
  /// -1 where one was taken.
  private var numbers: [Int32]

  public init() { numbers = [] }

  /// Takes ownership of `numbers`.
  init(owning numbers: [Int32]) { self.numbers = numbers }

  /// How many came, taken ones included: an index below it is one that the sender may name.
  public var count: Int { numbers.count }

  /// Hands out the descriptor at `index`; nil when none came there, or it was taken before.
  public mutating func take(at index: Int) -> Descriptor? {
    guard numbers.indices.contains(index), numbers[index] >= 0 else { return nil }
    defer { numbers[index] = -1 }
    return Descriptor(owning: numbers[index])
  }

  /// Moves those of `other` behind these.
  public mutating func append(_ other: inout ReceivedDescriptors) {
    numbers += other.numbers
    other.numbers = []
  }

  deinit {
    for number in numbers where number >= 0 { _ = close(number) }
  }
}

/// Why nothing was received.
public enum DescriptorPassingError: Error, Hashable, Sendable, CustomStringConvertible {
  case system(SystemCallError)
  /// More descriptors came than this process could take (MSG_CTRUNC): too many in one message, or its table is full. Which of
  /// them are missing cannot be told, so those that came are closed.
  case descriptorsLost

  public var description: String {
    switch self {
    case .system(let error): "\(error)"
    case .descriptorsLost:
      "descriptors were lost on the way: too many at once, or too many open files (raise the receiver's limit: LimitNOFILE=, or ulimit -n)"
    }
  }
}

/// Bytes and descriptors over unix sockets (unix(7), SCM_RIGHTS).
///
/// On a stream socket a read can join several writes, but it ends with the write that carried descriptors. So the descriptors
/// that a read brings were sent with its last bytes.
public enum DescriptorPassing {
  /// The most descriptors that one message carries (SCM_MAX_FD).
  public static let maximum = Int(HF_SCM_MAX_FD)

  /// Sends `bytes`, and `descriptors` with the first of them. Never raises SIGPIPE.
  ///
  /// The kernel duplicates the descriptors: the caller keeps its own. They have gone when this returns a count, however small.
  /// - Parameter bytes: not empty; a stream carries descriptors only with a byte.
  /// - Returns: bytes taken; nil when the socket is non-blocking and takes none now.
  public static func send(
    _ bytes: UnsafeRawBufferPointer, descriptors: [Int32] = [], over socket: Int32
  ) throws(SystemCallError) -> Int? {
    guard descriptors.count <= maximum else {
      throw SystemCallError("sendmsg(\(descriptors.count) descriptors)", errno: .invalidArgument)
    }
    let length = descriptors.count * MemoryLayout<Int32>.size
    let space = descriptors.isEmpty ? 0 : hf_cmsg_space(length)
    return try withControl(space) { (control) throws(SystemCallError) -> Int? in
      var vector = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
      return try withUnsafeMutablePointer(to: &vector) { (vector) throws(SystemCallError) -> Int? in
        var message = msghdr()
        message.msg_iov = vector
        message.msg_iovlen = 1
        if !descriptors.isEmpty {
          message.msg_control = control.baseAddress
          message.msg_controllen = space
          if let header = hf_cmsg_first(&message) {
            header.pointee.cmsg_level = SOL_SOCKET
            header.pointee.cmsg_type = Int32(SCM_RIGHTS)
            header.pointee.cmsg_len = hf_cmsg_len(length)
            let data = UnsafeMutableRawBufferPointer(start: hf_cmsg_data(header), count: length)
            descriptors.withUnsafeBytes { data.copyMemory(from: $0) }
          }
        }
        return try nonblockingCall("sendmsg") { sendmsg(socket, &message, Int32(MSG_NOSIGNAL)) }
      }
    }
  }

  /// As `send` with a buffer.
  public static func send(
    _ bytes: ArraySlice<UInt8>, descriptors: [Int32] = [], over socket: Int32
  ) throws(SystemCallError) -> Int? {
    // The standard library's closure cannot say what it throws.
    let result = bytes.withUnsafeBytes { bytes in
      Result { () throws(SystemCallError) in try send(bytes, descriptors: descriptors, over: socket) }
    }
    return try result.get()
  }

  private static func withControl<Result: ~Copyable, Failure: Error>(
    _ size: Int, _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let control = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: MemoryLayout<cmsghdr>.alignment)
    defer { control.deallocate() }
    control.initializeMemory(as: UInt8.self, repeating: 0)
    return try body(control)
  }

  /// Reads into `space`; the descriptors that come, close-on-exec from birth, are added to `descriptors`.
  /// - Returns: bytes read, 0 at the end of the stream; nil when the socket is non-blocking and nothing is there yet.
  public static func receive(
    into space: UnsafeMutableRawBufferPointer, adding descriptors: inout ReceivedDescriptors, over socket: Int32
  ) throws(DescriptorPassingError) -> Int? {
    try receive(into: space, adding: &descriptors, over: socket, room: maximum)
  }

  /// - Parameter room: descriptors to have room for.
  package static func receive(
    into space: UnsafeMutableRawBufferPointer, adding descriptors: inout ReceivedDescriptors, over socket: Int32,
    room: Int
  ) throws(DescriptorPassingError) -> Int? {
    let size = hf_cmsg_space(room * MemoryLayout<Int32>.size)
    return try withControl(size) { (control) throws(DescriptorPassingError) -> Int? in
      var vector = iovec(iov_base: space.baseAddress, iov_len: space.count)
      return try withUnsafeMutablePointer(to: &vector) { (vector) throws(DescriptorPassingError) -> Int? in
        var message = msghdr()
        message.msg_iov = vector
        message.msg_iovlen = 1
        message.msg_control = control.baseAddress
        message.msg_controllen = size
        let count: Int?
        do throws(SystemCallError) {
          count = try nonblockingCall("recvmsg") { recvmsg(socket, &message, Int32(MSG_CMSG_CLOEXEC)) }
        } catch {
          throw .system(error)
        }
        guard let count else { return nil }
        var arrived = ReceivedDescriptors(owning: numbers(in: &message))
        if message.msg_flags & Int32(MSG_CTRUNC) != 0 { throw .descriptorsLost }
        descriptors.append(&arrived)
        return count
      }
    }
  }

  /// Every descriptor in the control data, whatever the flags say: what is not found here stays open for good.
  private static func numbers(in message: inout msghdr) -> [Int32] {
    var numbers: [Int32] = []
    var next = hf_cmsg_first(&message)
    while let header = next {
      if header.pointee.cmsg_level == SOL_SOCKET, header.pointee.cmsg_type == Int32(SCM_RIGHTS) {
        let length = Int(header.pointee.cmsg_len) - hf_cmsg_len(0)
        let data = UnsafeRawBufferPointer(start: hf_cmsg_data(header), count: max(0, length))
        for offset in stride(from: 0, through: data.count - MemoryLayout<Int32>.size, by: MemoryLayout<Int32>.size) {
          numbers.append(data.loadUnaligned(fromByteOffset: offset, as: Int32.self))
        }
      }
      next = hf_cmsg_next(&message, header)
    }
    return numbers
  }
}
