internal import CLinux
internal import FoundationEssentials
internal import Glibc
internal import LinuxNetwork
internal import SystemCalls
internal import SystemPackage

/// A varlink client of the tests' own, made from the interface's description alone: what a stranger would write. Blocking;
/// for one thread.
public final class ControlClient {
  private let socket: Descriptor
  private var unread: [UInt8] = []
  private var descriptors: [Int32] = []

  /// Connects to the daemon's control socket.
  public init(path: String) throws {
    socket = Descriptor(
      owning: try systemCall("socket") {
        Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
      })
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { throw LabError("\(path) is too long") }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    try systemCall("connect", on: path) {
      withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          Glibc.connect(socket.number, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
    }
  }

  deinit { for descriptor in descriptors { close(descriptor) } }

  private struct Call<Parameters: Encodable>: Encodable {
    var method: String
    var parameters: Parameters
    var more: Bool?
  }

  private struct Reply<Parameters: Decodable>: Decodable {
    var parameters: Parameters?
  }

  private struct Outcome: Decodable {
    var error: String?
  }

  /// An answer that is an error.
  public struct Failure: Error, Hashable, CustomStringConvertible {
    /// The qualified name: `io.holdfast.NotActive`.
    public let name: String
    public let description: String
  }

  /// Calls a method and waits for its (first) answer.
  /// - Parameter descriptors: sent along; the caller keeps its own.
  public func call<Parameters: Encodable, Result: Decodable>(
    _ method: String, _ parameters: Parameters, descriptors: [Int32] = [], more: Bool = false,
    as result: Result.Type = Result.self
  ) throws -> Result {
    try send(method, parameters, descriptors: descriptors, more: more)
    return try receive(as: result)
  }

  /// Sends a call without waiting for what it answers.
  public func send<Parameters: Encodable>(
    _ method: String, _ parameters: Parameters, descriptors: [Int32] = [], more: Bool = false
  ) throws {
    let call = Call(method: "io.holdfast.\(method)", parameters: parameters, more: more ? true : nil)
    try send(raw: Array(try JSONEncoder().encode(call)) + [0], descriptors: descriptors)
  }

  /// Sends bytes as they are.
  public func send(raw bytes: [UInt8], descriptors: [Int32] = []) throws {
    var done = 0
    while done < bytes.count {
      done += try bytes.withUnsafeBytes { buffer in
        try sendPiece(UnsafeRawBufferPointer(rebasing: buffer[done...]), descriptors: done == 0 ? descriptors : [])
      }
    }
  }

  private func sendPiece(_ piece: UnsafeRawBufferPointer, descriptors: [Int32]) throws -> Int {
    let length = descriptors.count * MemoryLayout<Int32>.size
    var control = [UInt](repeating: 0, count: hf_cmsg_space(length) / MemoryLayout<UInt>.size + 1)
    var vector = iovec(iov_base: UnsafeMutableRawPointer(mutating: piece.baseAddress), iov_len: piece.count)
    return try control.withUnsafeMutableBytes { control in
      try withUnsafeMutablePointer(to: &vector) { vector in
        var message = msghdr()
        message.msg_iov = vector
        message.msg_iovlen = 1
        if !descriptors.isEmpty {
          message.msg_control = control.baseAddress
          message.msg_controllen = hf_cmsg_space(length)
          if let header = hf_cmsg_first(&message) {
            header.pointee.cmsg_level = SOL_SOCKET
            header.pointee.cmsg_type = Int32(SCM_RIGHTS)
            header.pointee.cmsg_len = hf_cmsg_len(length)
            descriptors.withUnsafeBytes {
              UnsafeMutableRawPointer(hf_cmsg_data(header)).copyMemory(
                from: $0.baseAddress ?? UnsafeRawPointer(hf_cmsg_data(header)), byteCount: length)
            }
          }
        }
        return try systemCall("sendmsg") { sendmsg(socket.number, &message, Int32(MSG_NOSIGNAL)) }
      }
    }
  }

  /// Waits for the next answer.
  public func receive<Result: Decodable>(as result: Result.Type = Result.self) throws -> Result {
    let message = try receiveMessage()
    if let error = try JSONDecoder().decode(Outcome.self, from: Data(message)).error {
      throw Failure(name: error, description: String(decoding: message, as: UTF8.self))
    }
    let reply = try JSONDecoder().decode(Reply<Result>.self, from: Data(message))
    guard let parameters = reply.parameters else { throw LabError("an answer without parameters") }
    return parameters
  }

  /// Takes a descriptor that came with the last answer; its number there is `index`.
  public func takeDescriptor(_ index: Int) throws -> Int32 {
    guard descriptors.indices.contains(index) else { throw LabError("the answer came without descriptor \(index)") }
    let descriptor = descriptors.remove(at: index)
    for rest in descriptors { close(rest) }
    descriptors = []
    return descriptor
  }

  /// Waits for the next message, and returns it without the NUL.
  public func receiveMessage() throws -> [UInt8] {
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      if let end = unread.firstIndex(of: 0) {
        defer { unread.removeSubrange(...end) }
        return Array(unread[..<end])
      }
      let count = try receivePiece(&chunk)
      if count == 0 { throw LabError("the daemon closed the control connection") }
      unread += chunk[..<count]
    }
  }

  private func receivePiece(_ chunk: inout [UInt8]) throws -> Int {
    var control = [UInt](repeating: 0, count: 64)
    return try control.withUnsafeMutableBytes { control in
      try chunk.withUnsafeMutableBytes { chunk in
        var vector = iovec(iov_base: chunk.baseAddress, iov_len: chunk.count)
        return try withUnsafeMutablePointer(to: &vector) { vector in
          var message = msghdr()
          message.msg_iov = vector
          message.msg_iovlen = 1
          message.msg_control = control.baseAddress
          message.msg_controllen = control.count
          let count = try systemCall("recvmsg") { recvmsg(socket.number, &message, Int32(MSG_CMSG_CLOEXEC)) }
          var next = hf_cmsg_first(&message)
          while let header = next {
            if header.pointee.cmsg_level == SOL_SOCKET, header.pointee.cmsg_type == Int32(SCM_RIGHTS) {
              let bytes = Int(header.pointee.cmsg_len) - hf_cmsg_len(0)
              let data = UnsafeRawBufferPointer(start: hf_cmsg_data(header), count: bytes)
              for offset in stride(from: 0, to: bytes, by: 4) {
                descriptors.append(data.loadUnaligned(fromByteOffset: offset, as: Int32.self))
              }
            }
            next = hf_cmsg_next(&message, header)
          }
          return count
        }
      }
    }
  }
}
