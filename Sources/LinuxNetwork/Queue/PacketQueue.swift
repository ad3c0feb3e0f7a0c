internal import CLinux
internal import CNetlink
internal import Glibc
public import SystemCalls
internal import SystemPackage

/// One or more netfilter queues (NFQUEUE, linux/netfilter/nfnetlink_queue.h) read through one netlink socket, so that packets
/// of all of them come in the order in which the kernel queued them.
///
/// GSO packets come whole. No fail-open: what does not fit is dropped, TCP sends it again. When this object ends, or the
/// process dies, the kernel drops what waits, and everything that a rule sends here from then on.
public final class PacketQueue {
  private let socket: Descriptor
  private let buffers: UnsafeMutablePointer<UnsafeMutableRawPointer?>
  private let lengths: UnsafeMutablePointer<UInt32>
  private let verdict = UnsafeMutableRawBufferPointer.allocate(byteCount: 32, alignment: 4)

  /// How often the kernel reported that packets did not fit into the socket's buffer. They were dropped; TCP recovers.
  public private(set) var overruns: UInt64 = 0

  /// The most packets that one `receive` hands out: so few that whole ones are still in the cache when they are looked at.
  package static let batch = 16
  /// The longest netlink message: 64 kB of attributes and the headers.
  private static let bufferSize = 65536 + 8192

  /// - Parameters:
  ///   - queues: queue numbers, 0...65535. Only one process can own a queue: EPERM means that another one does.
  ///   - length: packets that a queue holds before it drops.
  ///   - bufferSize: bytes of the socket's receive buffer.
  public init(queues: [UInt16], length: UInt32 = 65536, bufferSize: Int32 = 64 << 20) throws(SystemCallError) {
    socket = Descriptor(
      owning: try systemCall("socket(NETLINK_NETFILTER)") {
        Glibc.socket(AF_NETLINK, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), NETLINK_NETFILTER)
      })
    buffers = .allocate(capacity: Self.batch)
    lengths = .allocate(capacity: Self.batch)
    for index in 0..<Self.batch { buffers[index] = .allocate(byteCount: Self.bufferSize, alignment: 16) }
    verdict.initializeMemory(as: UInt8.self, repeating: 0)

    var size = bufferSize
    try systemCall("setsockopt(SO_RCVBUFFORCE)", on: "netlink") {
      setsockopt(socket.number, SOL_SOCKET, SO_RCVBUFFORCE, &size, socklen_t(MemoryLayout<Int32>.size))
    }
    var address = sockaddr_nl()
    address.nl_family = sa_family_t(AF_NETLINK)
    try systemCall("bind", on: "netlink") {
      withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          bind(socket.number, $0, socklen_t(MemoryLayout<sockaddr_nl>.size))
        }
      }
    }
    for queue in queues { try configure(queue, length: length) }
  }

  deinit {
    for index in 0..<Self.batch { buffers[index]?.deallocate() }
    buffers.deallocate()
    lengths.deallocate()
    verdict.deallocate()
  }

  /// Readable when packets wait.
  public var descriptor: Int32 { socket.number }

  /// Hands the packets that wait, at most one batch of them, to `body` in order.
  /// - Returns: how many messages were read; 0 when none waits.
  public func receive(_ body: (QueuedPacket) -> Void) throws(SystemCallError) -> Int {
    let received = hf_receive_batch(socket.number, buffers, Self.bufferSize, lengths, UInt32(Self.batch))
    guard received >= 0 else {
      let reason = Errno(rawValue: errno)
      switch reason {
      case .wouldBlock, .interrupted: return 0
      case .noBufferSpace:
        overruns += 1
        return 0
      default: throw SystemCallError("recvmmsg", on: "packet queue", errno: reason)
      }
    }
    for index in 0..<Int(received) {
      guard let base = buffers[index] else { continue }
      let message = UnsafeRawBufferPointer(start: base, count: Int(lengths[index]))
      if let packet = Self.packet(message) { body(packet) }
    }
    return Int(received)
  }

  /// Lets every waiting packet of `queue` up to and including `id` go on.
  public func acceptAll(upTo id: UInt32, in queue: UInt16) throws(SystemCallError) {
    try send(NFQNL_MSG_VERDICT_BATCH, NF_ACCEPT, id, queue)
  }

  public func accept(_ id: UInt32, in queue: UInt16) throws(SystemCallError) {
    try send(NFQNL_MSG_VERDICT, NF_ACCEPT, id, queue)
  }

  /// Lets one packet go on with other contents.
  /// - Parameter bytes: from the first byte of the IP header on, at most 65,531; the kernel checks their TCP checksum.
  public func accept(_ id: UInt32, in queue: UInt16, as bytes: [UInt8]) throws(SystemCallError) {
    prepare(NFQNL_MSG_VERDICT, NF_ACCEPT, id, queue)
    var message = [UInt8](verdict)
    let length = UInt16(clamping: 4 + bytes.count)
    withUnsafeBytes(of: length) { message += $0 }
    withUnsafeBytes(of: UInt16(NFQA_PAYLOAD.rawValue)) { message += $0 }
    message += bytes
    message += [UInt8](repeating: 0, count: -message.count & 3)
    withUnsafeBytes(of: UInt32(message.count)) { message.replaceSubrange(0..<4, with: $0) }
    try systemCall("sendto(NFQNL_MSG_VERDICT)", on: "queue \(queue)") {
      Glibc.send(socket.number, message, message.count, 0)
    }
  }

  /// Drops one packet; its sender notices nothing but the loss.
  public func drop(_ id: UInt32, in queue: UInt16) throws(SystemCallError) {
    try send(NFQNL_MSG_VERDICT, NF_DROP, id, queue)
  }

  /// Drops every waiting packet of `queue` up to and including `id`.
  public func dropAll(upTo id: UInt32, in queue: UInt16) throws(SystemCallError) {
    try send(NFQNL_MSG_VERDICT_BATCH, NF_DROP, id, queue)
  }

  private func send(_ type: nfqnl_msg_types, _ decision: Int32, _ id: UInt32, _ queue: UInt16) throws(SystemCallError) {
    prepare(type, decision, id, queue)
    try systemCall("sendto(NFQNL_MSG_VERDICT)", on: "queue \(queue)") {
      Glibc.send(socket.number, verdict.baseAddress, verdict.count, 0)
    }
  }

  private func prepare(_ type: nfqnl_msg_types, _ decision: Int32, _ id: UInt32, _ queue: UInt16) {
    // nlmsghdr (16), nfgenmsg (4), nlattr NFQA_VERDICT_HDR (4), nfqnl_msg_verdict_hdr (8).
    verdict.storeBytes(of: 32, toByteOffset: 0, as: UInt32.self)
    verdict.storeBytes(of: UInt16(NFNL_SUBSYS_QUEUE) << 8 | UInt16(type.rawValue), toByteOffset: 4, as: UInt16.self)
    verdict.storeBytes(of: UInt16(NLM_F_REQUEST), toByteOffset: 6, as: UInt16.self)
    verdict.storeBytes(of: queue.bigEndian, toByteOffset: 18, as: UInt16.self)
    verdict.storeBytes(of: 12, toByteOffset: 20, as: UInt16.self)
    verdict.storeBytes(of: UInt16(NFQA_VERDICT_HDR.rawValue), toByteOffset: 22, as: UInt16.self)
    verdict.storeBytes(of: UInt32(decision).bigEndian, toByteOffset: 24, as: UInt32.self)
    verdict.storeBytes(of: id.bigEndian, toByteOffset: 28, as: UInt32.self)
  }

  /// Takes one netlink message apart; nil for anything but a packet.
  private static func packet(_ message: UnsafeRawBufferPointer) -> QueuedPacket? {
    guard message.count >= 20 else { return nil }
    let type = message.loadUnaligned(fromByteOffset: 4, as: UInt16.self)
    guard type == UInt16(NFNL_SUBSYS_QUEUE) << 8 | UInt16(NFQNL_MSG_PACKET.rawValue) else { return nil }
    let queue = UInt16(bigEndian: message.loadUnaligned(fromByteOffset: 18, as: UInt16.self))
    let end = min(Int(message.loadUnaligned(fromByteOffset: 0, as: UInt32.self)), message.count)
    var id: UInt32?
    var payload = UnsafeRawBufferPointer(start: nil, count: 0)
    var originalLength: UInt32?
    var skbInfo: UInt32 = 0
    var offset = 20
    while offset + 4 <= end {
      let length = Int(message.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
      guard length >= 4, offset + length <= end else { break }
      let value = UnsafeRawBufferPointer(rebasing: message[offset + 4..<offset + length])
      switch Int(message.loadUnaligned(fromByteOffset: offset + 2, as: UInt16.self) & 0x3fff) {
      case Int(NFQA_PACKET_HDR.rawValue) where value.count >= 7:
        id = UInt32(bigEndian: value.loadUnaligned(as: UInt32.self))
      case Int(NFQA_PAYLOAD.rawValue): payload = value
      case Int(NFQA_CAP_LEN.rawValue) where value.count >= 4:
        originalLength = UInt32(bigEndian: value.loadUnaligned(as: UInt32.self))
      case Int(NFQA_SKB_INFO.rawValue) where value.count >= 4:
        skbInfo = UInt32(bigEndian: value.loadUnaligned(as: UInt32.self))
      default: break
      }
      offset += (length + 3) & ~3
    }
    guard let id else { return nil }
    return QueuedPacket(
      queue: queue, id: id, bytes: payload, isTruncated: originalLength.map { Int($0) > payload.count } ?? false,
      isChecksumUnverified: skbInfo & UInt32(NFQA_SKB_CSUM_NOTVERIFIED) != 0)
  }

  // MARK: Set-up

  private func configure(_ queue: UInt16, length: UInt32) throws(SystemCallError) {
    try request(queue, NFQA_CFG_CMD, [UInt8(NFQNL_CFG_CMD_BIND.rawValue), 0, 0, 0])
    // Whole packets: as much as an attribute's 16-bit length allows.
    try request(queue, NFQA_CFG_PARAMS, [0, 0, 0xff, 0xff, UInt8(NFQNL_COPY_PACKET.rawValue)])
    try request(queue, NFQA_CFG_QUEUE_MAXLEN, Self.bytes(length))
    let flags = Self.bytes(UInt32(NFQA_CFG_F_GSO))
    try request(queue, NFQA_CFG_MASK, Self.bytes(UInt32(NFQA_CFG_F_GSO | NFQA_CFG_F_FAIL_OPEN)), NFQA_CFG_FLAGS, flags)
  }

  private static func bytes(_ number: UInt32) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { [UInt8]($0) } }

  /// Sends one configuration message and waits for the kernel's answer. Packets may come before it: from the bind on the
  /// queue is live, and a crashed daemon's rules may still send to it. They belong to connections that nobody knows any more
  /// and are dropped.
  private func request(
    _ queue: UInt16, _ attribute: nfqnl_attr_config, _ value: [UInt8], _ second: nfqnl_attr_config? = nil,
    _ secondValue: [UInt8] = []
  ) throws(SystemCallError) {
    let failure = { (call: String) in SystemCallError(call, on: "queue \(queue)", errno: .noMemory) }
    guard
      let message = nlmsg_alloc_simple(
        NFNL_SUBSYS_QUEUE << 8 | Int32(NFQNL_MSG_CONFIG.rawValue), NLM_F_REQUEST | NLM_F_ACK)
    else { throw failure("nlmsg_alloc") }
    defer { nlmsg_free(message) }
    var family = nfgenmsg(nfgen_family: UInt8(AF_UNSPEC), version: UInt8(NFNETLINK_V0), res_id: queue.bigEndian)
    guard nlmsg_append(message, &family, MemoryLayout<nfgenmsg>.size, Int32(NLMSG_ALIGNTO)) == 0,
      nla_put(message, Int32(attribute.rawValue), Int32(value.count), value) == 0,
      second == nil || nla_put(message, Int32(second?.rawValue ?? 0), Int32(secondValue.count), secondValue) == 0
    else { throw failure("nla_put") }
    let header = nlmsg_hdr(message)
    let length = Int(header?.pointee.nlmsg_len ?? 0)
    try systemCall("sendto(NFQNL_MSG_CONFIG)", on: "queue \(queue)") { Glibc.send(socket.number, header, length, 0) }
    try awaitAnswer(queue)
  }

  private func awaitAnswer(_ queue: UInt16) throws(SystemCallError) {
    while true {
      let count = try systemCall("recv(NFQNL_MSG_CONFIG)", on: "queue \(queue)") {
        recv(socket.number, buffers[0], Self.bufferSize, 0)
      }
      let message = UnsafeRawBufferPointer(start: buffers[0], count: count)
      if let packet = Self.packet(message) {
        try drop(packet.id, in: packet.queue)
      } else if message.count >= 20, message.loadUnaligned(fromByteOffset: 4, as: UInt16.self) == UInt16(NLMSG_ERROR) {
        let code = message.loadUnaligned(fromByteOffset: 16, as: Int32.self)
        guard code != 0 else { return }
        let reason = Errno(rawValue: -code)
        // nfqueue answers so when it has a reader (nfqnl_recv_config); a missing privilege was noticed before.
        let hint = ", which another process reads already (a second holdfastd? if not, change queue_base)"
        throw SystemCallError(
          "bind(NFQUEUE)", on: "queue \(queue)\(reason == .notPermitted ? hint : "")", errno: reason)
      }
    }
  }
}
