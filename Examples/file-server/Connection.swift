internal import Glibc
internal import Holdfast
internal import SystemCalls

/// One connection, on a thread of its own.
///
/// Offsets of the daemon count from a registration, so each request is a registration of its own: when its header is complete
/// and still unread, the former one is released and the connection registered again, with the answer as key. From then on
/// `consumed` says how much of the header was read and `sent` how much of the answer was written, and the answer's twin can be
/// taken up anywhere. Between the two calls the connection is unprotected: the client has its former answer, and has sent a
/// request that a crash in just that moment would lose, with the connection.
struct Connection {
  private let socket: Int32
  /// nil when protection is not wanted.
  private let protector: Protector?
  private let files: FileTree

  /// Takes ownership of `socket`.
  init(_ socket: Int32, protector: Protector?, files: FileTree) {
    self.socket = socket
    self.protector = protector
    self.files = files
  }

  /// A new connection.
  func start() { run { channel, id throws(Channel.Broken) in try serve(channel, id: &id) } }

  /// One that another instance began to answer: its output goes on at `sent`. Of its input `consumed` bytes are gone; the rest of
  /// the request's header comes again and has been understood already.
  func start(continuing answer: Answer, as name: String, consumed: Int, sent: Int) {
    run(as: name) { channel, id throws(Channel.Broken) in
      try channel.discard(max(0, answer.headerLength - consumed))
      try send(answer, from: sent, over: channel)
      if answer.keepAlive { try serve(channel, id: &id) }
    }
  }

  private func run(
    as name: String? = nil, _ body: @escaping (borrowing Channel, inout String?) throws(Channel.Broken) -> Void
  ) {
    let (socket, protector) = (socket, protector)
    do throws(SystemCallError) {
      nonisolated(unsafe) let body = body
      try startThread { Self.main(socket, name: name, protector: protector, body) }
    } catch {
      log("\(error)")
      if let name { protector?.release(name, how: .reset) }
      close(socket)
    }
  }

  private static func main(
    _ socket: Int32, name: String?, protector: Protector?,
    _ body: (borrowing Channel, inout String?) throws(Channel.Broken) -> Void
  ) {
    var id = name
    let channel: Channel
    do throws(SystemCallError) {
      channel = try Channel(Descriptor(owning: socket))
    } catch {
      if let id { protector?.release(id, how: .reset) }
      return
    }
    do throws(Channel.Broken) {
      try body(channel, &id)
      // The daemon sees a registered connection to its end, which may take a failover.
      if let id, protector?.release(id, how: .close) ?? false { return }
      channel.finish()
    } catch {
      if let id { protector?.release(id, how: .reset) }
    }
  }

  /// Answers requests until one is the last.
  private func serve(_ channel: borrowing Channel, id: inout String?) throws(Channel.Broken) {
    while let header = try channel.peekHeader() {
      let answer = answer(to: header)
      id = protector?.register(channel.number, key: answer.key, replacing: id)
      try channel.discard(answer.headerLength)
      try send(answer, from: 0, over: channel)
      if !answer.keepAlive { return }
    }
  }

  private func answer(to header: [UInt8]) -> Answer {
    guard Request.headerLength(header[...]) != nil else { return .refusal(431, headerLength: header.count) }
    do throws(Request.Failure) {
      let request = try Request(header: header[...])
      return Answer(to: request, headerLength: header.count, size: files.size)
    } catch {
      return .refusal(error == .unsupportedVersion ? 505 : 400, headerLength: header.count)
    }
  }

  /// - Parameter offset: bytes of the answer that have been sent.
  private func send(_ answer: Answer, from offset: Int, over channel: borrowing Channel) throws(Channel.Broken) {
    let preamble = answer.preamble
    let content = answer.content
    guard !content.isEmpty else { return try channel.send(preamble.dropFirst(offset), more: false) }
    guard let file = files.file(answer.target), file.size == answer.total else {
      throw Channel.Broken(reason: "the file is not the one that the answer began with")
    }
    try channel.send(preamble.dropFirst(offset), more: true)
    let done = max(0, offset - preamble.count)
    guard done < content.count else { return }
    try channel.send(content.lowerBound + done..<content.upperBound, of: file.descriptor.number)
  }
}
