internal import Glibc
public import TCPModel

/// What a capture says about one connection, in the terms of the promise: no reset, no FIN that nobody sent, no timestamp
/// that goes back, no byte that differs from the one that was sent before.
public struct ConnectionEvidence: Sendable {
  public let client: Endpoint
  public let service: Endpoint
  public fileprivate(set) var packets = 0
  /// True when the capture holds the handshake: offsets are then counted from the stream's first byte.
  public fileprivate(set) var startSeen = false
  public fileprivate(set) var resetsFromService = 0
  public fileprivate(set) var resetsFromClient = 0
  /// Resets that answered a packet which came when both streams had been ended and acknowledged: the kernel keeps nothing of a
  /// connection that the peer has closed first, so a packet that was sent twice finds nobody, and the reset ends what the
  /// peer's kernel had kept (RFC 1337). Not among the above; no application can see them.
  public fileprivate(set) var resetsAfterTheEnd = 0
  /// What the first reset was and when it came, for a person who looks for its cause.
  public fileprivate(set) var firstReset: String?
  /// Stream offsets at which a FIN stood. A FIN that was sent again counts once; two of them mean that the stream ended twice.
  public fileprivate(set) var finsFromService: Set<Int> = []
  public fileprivate(set) var finsFromClient: Set<Int> = []
  /// Packets from the service whose TSval lies before an earlier one's, modulo 2^32.
  public fileprivate(set) var timestampsBackwards = 0
  /// The furthest that one went back, in ticks.
  public fileprivate(set) var furthestBack = 0
  /// What the first one was, and the packet with the latest TSval before it, for a person who looks for the cause.
  public fileprivate(set) var firstBackwards: String?
  public fileprivate(set) var differingFromService = 0
  public fileprivate(set) var differingFromClient = 0
  /// How often the link-layer address from which the service's packets came was another than before: once for each takeover at
  /// most, or two hosts have sent at a time.
  public fileprivate(set) var senderChanges = 0
  /// Stream bytes from the service, by sequence numbers.
  public fileprivate(set) var bytesFromService = 0
  public fileprivate(set) var bytesFromClient = 0

  init(client: Endpoint, service: Endpoint) {
    self.client = client
    self.service = service
  }
}

/// Reads a capture, connection by connection, from the side of one service.
public struct CaptureCheck: Sendable {
  public private(set) var connections: [ConnectionEvidence]
  /// TCP packets that were read.
  public private(set) var packets = 0
  /// Packets that were shortened by the capture: their payload could not be compared.
  public private(set) var shortened = 0

  /// - Parameters:
  ///   - isService: true for the endpoints whose connections are to be looked at: the service's own side.
  ///   - comparesContent: whether bytes that are sent again are compared with those from before, which takes as much memory as the
  ///     streams are long.
  ///   - mayReorder: true for times (nanoseconds since 1970) at which packets may leave a host before earlier ones that it holds:
  ///     somebody has taken its gate away. Their timestamps are not compared.
  ///   - mayBeOvertaken: true for times at which no gate puts a host's packets in one order: its processors send side by side, and one
  ///     packet overtakes another. Only such a packet's timestamp is excused (`Reader.State.isOvertaken`).
  ///   - onServiceData: is told when (nanoseconds since 1970) and how many bytes of payload came from there.
  public init(
    _ file: CaptureFile, isService: (Endpoint) -> Bool, comparesContent: Bool = true,
    mayReorder: @escaping (UInt64) -> Bool = { _ in false },
    mayBeOvertaken: @escaping (UInt64) -> Bool = { _ in false },
    onServiceData: ((UInt64, Int) -> Void)? = nil
  ) throws {
    var reader = Reader(mayReorder: mayReorder, mayBeOvertaken: mayBeOvertaken)
    var packets = 0
    var shortened = 0
    // Segment.parse wants a packet as long as it says it is; a shortened one is filled up with zeros, which are not looked at.
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 8)
    defer { scratch.deallocate() }
    try file.forEachFrame { frame in
      var packet = frame.packet
      let complete = frame.packet.count == frame.wireCount
      if !complete {
        guard frame.wireCount <= scratch.count, frame.packet.count <= frame.wireCount else { return }
        scratch.copyMemory(from: frame.packet)
        let rest = UnsafeMutableRawBufferPointer(rebasing: scratch[frame.packet.count..<frame.wireCount])
        rest.initializeMemory(as: UInt8.self, repeating: 0)
        packet = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(scratch)[..<frame.wireCount])
        shortened += 1
      }
      guard let segment = try? Segment.parse(packet) else { return }
      packets += 1
      let fromService = isService(segment.source)
      guard fromService || isService(segment.destination) else { return }
      let payload = UnsafeRawBufferPointer(
        rebasing: packet[segment.payloadOffset..<(segment.payloadOffset + segment.payloadCount)])
      reader.take(
        segment, payload: complete && comparesContent ? payload : nil, fromService: fromService, time: frame.time,
        sender: frame.linkSource
      )
      if fromService, segment.payloadCount > 0 { onServiceData?(frame.time, segment.payloadCount) }
    }
    connections = reader.evidence
    self.packets = packets
    self.shortened = shortened
  }

  /// The sum over all connections.
  public func total(_ key: KeyPath<ConnectionEvidence, Int>) -> Int {
    connections.reduce(0) { $0 + $1[keyPath: key] }
  }

  public var resets: Int { total(\.resetsFromService) + total(\.resetsFromClient) }
  public var timestampsBackwards: Int { total(\.timestampsBackwards) }
  public var differingBytes: Int { total(\.differingFromService) + total(\.differingFromClient) }

  /// FINs that end a stream elsewhere than at the offset where its application ended it.
  /// - Parameter expected: per client, the number of bytes after which the service's application and the client ended their
  ///   streams; `nil` where it has not.
  public func unexpectedFins(_ expected: (Endpoint) -> (service: Int?, client: Int?)) -> Int {
    connections.reduce(0) { sum, evidence in
      let end = expected(evidence.client)
      return sum + evidence.finsFromService.filter { $0 != end.service }.count
        + evidence.finsFromClient.filter { $0 != end.client }.count
    }
  }

  /// FINs anywhere but at the end of what their side has sent: for applications whose lengths are not known here.
  public var misplacedFins: Int {
    connections.reduce(0) { sum, evidence in
      sum + evidence.finsFromService.filter { $0 != evidence.bytesFromService }.count
        + evidence.finsFromClient.filter { $0 != evidence.bytesFromClient }.count
    }
  }

  /// What breaks the promise, as sentences; empty when nothing does. FINs are judged by `unexpectedFins`.
  public var violations: [String] {
    connections.flatMap { evidence -> [String] in
      var found: [String] = []
      let name = "\(evidence.client)"
      if evidence.resetsFromService + evidence.resetsFromClient > 0 {
        found.append(
          "\(name): \(evidence.resetsFromService) RST from the service, \(evidence.resetsFromClient) from the client, the "
            + "first \(evidence.firstReset ?? "")")
      }
      if evidence.finsFromService.count > 1 { found.append("\(name): the service ended the stream twice") }
      if evidence.timestampsBackwards > 0 {
        found.append(
          "\(name): \(evidence.timestampsBackwards) timestamps go back, by up to \(evidence.furthestBack) ticks, the first "
            + "\(evidence.firstBackwards ?? "")")
      }
      let differing = evidence.differingFromService + evidence.differingFromClient
      if differing > 0 { found.append("\(name): \(differing) bytes were sent again differently") }
      return found
    }
  }
}

/// Follows the connections of a capture.
private struct Reader {
  /// What can be said of the order in which packets leave a host at a time.
  enum Order {
    /// They leave as their kernel made them.
    case kept
    /// No gate puts them in one order, and one may overtake another.
    case overtakable
    /// None: somebody has taken a gate away.
    case none
  }

  /// One direction's place in sequence space.
  struct Direction {
    var content = StreamContent()
    /// The sequence number of stream offset 0 and how far the stream has come since.
    var start: SequenceNumber?
    var furthest: Int { coverage.end }
    var coverage = Coverage()
    /// One past the FIN.
    var finish: SequenceNumber?
    var isAcknowledgedToItsEnd = false

    mutating func acknowledge(_ number: SequenceNumber) {
      if number == finish { isAcknowledgedToItsEnd = true }
    }

    mutating func offset(of sequence: SequenceNumber) -> Int {
      guard let start else {
        self.start = sequence
        return 0
      }
      // Streams longer than 2^31 bytes: the distance is taken from the furthest point, which is near.
      return furthest + sequence.distance(from: start + furthest)
    }
  }

  struct State {
    var evidence: ConnectionEvidence
    var service = Direction()
    var client = Direction()
    struct Stamped {
      var segment: Segment
      var time: UInt64
      /// The link-layer address that it came from.
      var sender: UInt64
      /// It brought nothing but what had come before.
      var isRepeat: Bool
    }

    /// The packet with the latest TSval.
    var latestTimestamp: Stamped?
    var sender: UInt64?
  }

  let mayReorder: (UInt64) -> Bool
  let mayBeOvertaken: (UInt64) -> Bool
  private var states: [State] = []
  private var indices: [Flow: Int] = [:]

  init(mayReorder: @escaping (UInt64) -> Bool, mayBeOvertaken: @escaping (UInt64) -> Bool) {
    self.mayReorder = mayReorder
    self.mayBeOvertaken = mayBeOvertaken
  }

  var evidence: [ConnectionEvidence] {
    states.map { state in
      var evidence = state.evidence
      evidence.differingFromService = state.service.content.differing
      evidence.differingFromClient = state.client.content.differing
      evidence.bytesFromService = state.service.furthest
      evidence.bytesFromClient = state.client.furthest
      return evidence
    }
  }

  mutating func take(
    _ segment: Segment, payload: UnsafeRawBufferPointer?, fromService: Bool, time: UInt64, sender: UInt64
  ) {
    let service = fromService ? segment.source : segment.destination
    let client = fromService ? segment.destination : segment.source
    let flow = Flow(local: service, peer: client)
    let header = segment.header
    let opens = header.flags.contains(.syn) && !header.flags.contains(.ack)
    // A port that is used again is a new connection; a SYN that is sent again is not.
    if opens, let known = indices[flow], states[known].client.start != header.sequence + 1 { indices[flow] = nil }
    let index: Int
    if let known = indices[flow] {
      index = known
    } else {
      index = states.count
      indices[flow] = index
      states.append(State(evidence: ConnectionEvidence(client: client, service: service)))
    }
    if fromService { states[index].count(sender) }
    states[index].take(
      segment, payload: payload, fromService: fromService, time: time, sender: sender,
      order: mayReorder(time) ? .none : mayBeOvertaken(time) ? .overtakable : .kept)
  }
}

extension Reader.State {
  mutating func count(_ sender: UInt64) {
    if let last = self.sender, last != sender { evidence.senderChanges += 1 }
    self.sender = sender
  }

  fileprivate mutating func take(
    _ segment: Segment, payload: UnsafeRawBufferPointer?, fromService: Bool, time: UInt64, sender: UInt64,
    order: Reader.Order
  ) {
    let header = segment.header
    evidence.packets += 1
    if header.flags.contains(.rst) {
      // Its numbers belong to no stream: a reset for a segment without ACK starts from 0.
      if service.isAcknowledgedToItsEnd && client.isAcknowledgedToItsEnd {
        evidence.resetsAfterTheEnd += 1
        return
      }
      if fromService { evidence.resetsFromService += 1 } else { evidence.resetsFromClient += 1 }
      if evidence.firstReset == nil { evidence.firstReset = describe(header, fromService: fromService, at: time) }
      return
    }
    if fromService { checkTimestamp(segment, at: time, sender: sender, order: order) }
    var direction = fromService ? service : client
    if fromService { service = Reader.Direction() } else { client = Reader.Direction() }
    if header.flags.contains(.syn) {
      direction.start = header.sequence + 1
      evidence.startSeen = true
    } else {
      let offset = direction.offset(of: header.sequence)
      if segment.payloadCount > 0 {
        // A bare ACK that follows a FIN stands one further, and is no byte.
        direction.coverage.cover(offset..<offset + segment.payloadCount)
        if let payload { direction.content.put(payload, at: offset) }
      }
      if header.flags.contains(.fin) {
        let end = offset + segment.payloadCount
        direction.finish = direction.start.map { $0 + end + 1 }
        if fromService { evidence.finsFromService.insert(end) } else { evidence.finsFromClient.insert(end) }
      }
    }
    if fromService { service = direction } else { client = direction }
    if header.flags.contains(.ack) {
      if fromService { client.acknowledge(header.acknowledgement) } else { service.acknowledge(header.acknowledgement) }
    }
  }

  private func describe(_ header: SegmentHeader, fromService: Bool, at time: UInt64) -> String {
    let stream = fromService ? service : client
    let place = stream.start.map { "\(header.sequence.distance(from: $0 + stream.furthest))" } ?? "?"
    return "at \(Self.seconds(time)), "
      + "\(place) bytes from the stream's end at \(stream.furthest), FIN seen: service \(evidence.finsFromService.sorted()), "
      + "client \(evidence.finsFromClient.sorted())"
  }

  private mutating func checkTimestamp(_ segment: Segment, at time: UInt64, sender: UInt64, order: Reader.Order) {
    guard segment.header.hasTimestamp else { return }
    if let latest = latestTimestamp {
      let step = Int(Int32(bitPattern: segment.header.timestampValue &- latest.segment.header.timestampValue))
      guard step >= 0 else {
        switch order {
        case .none: return
        case .overtakable: if isOvertaken(segment, at: time, sender: sender) { return }
        case .kept: break
        }
        evidence.timestampsBackwards += 1
        evidence.furthestBack = max(evidence.furthestBack, -step)
        if evidence.firstBackwards == nil {
          evidence.firstBackwards = "\(describe(segment, at: time)), after \(describe(latest.segment, at: latest.time))"
        }
        return
      }
    }
    latestTimestamp = Stamped(
      segment: segment, time: time, sender: sender, isRepeat: segment.payloadCount > 0 && !isUnseen(segment))
  }

  /// Whether the packet with the latest TSval has overtaken this one: it came a moment ago from the same host, and is a later one of
  /// the stream. A packet that was overtaken acknowledges less, or holds bytes that nobody had seen. A socket that was restored with
  /// a lower clock acknowledges as much as before, and repeats what had been sent before it sends more.
  private mutating func isOvertaken(_ segment: Segment, at time: UInt64, sender: UInt64) -> Bool {
    guard let latest = latestTimestamp, sender == latest.sender, time < latest.time + Self.longestOvertaking else {
      return false
    }
    let (header, later) = (segment.header, latest.segment.header)
    let news = header.acknowledgement.distance(from: later.acknowledgement)
    if news != 0 { return news < 0 }
    let end = header.sequence + segment.payloadCount
    let comesBefore = end.distance(from: later.sequence) <= 0
    guard segment.payloadCount > 0 else { return latest.segment.payloadCount > 0 && comesBefore }
    return (comesBefore || latest.isRepeat) && isUnseen(segment)
  }

  private mutating func isUnseen(_ segment: Segment) -> Bool {
    let offset = service.offset(of: segment.header.sequence)
    return service.coverage.isUnseen(offset..<offset + segment.payloadCount)
  }
  /// ns
  private static let longestOvertaking: UInt64 = 50_000_000

  private func describe(_ segment: Segment, at time: UInt64) -> String {
    let header = segment.header
    return
      "TSval \(header.timestampValue) on \(segment.payloadCount) bytes at \(header.sequence), ACK \(header.acknowledgement), "
      + "flags \(header.flags.rawValue), at \(Self.seconds(time))"
  }

  private static func seconds(_ time: UInt64) -> String {
    "\(time / 1_000_000_000).\(String(time % 1_000_000_000 + 1_000_000_000).dropFirst())"
  }
}
