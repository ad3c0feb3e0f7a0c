import CLinux
import Glibc
import Lab
@testable import LinuxNetwork
import SystemCalls
import SystemPackage
import TCPModel
import Testing

/// What cannot be moved is refused with a reason, and is as it was.
@Suite struct SocketInspectionTests {
  private func refusal(_ socket: Int32, in namespace: Namespace? = nil) throws -> String {
    let body = {
      do {
        _ = try RepairSnapshot.take(socket)
        return "accepted"
      } catch let error as UnsupportedSocket { return "\(error)" }
    }
    return try namespace?.run(body) ?? body()
  }

  private func make(_ family: Int32, _ type: __socket_type, _ number: Int32 = 0) throws -> Descriptor {
    Descriptor(
      owning: try systemCall("socket") { socket(family, Int32(type.rawValue | SOCK_CLOEXEC.rawValue), number) })
  }

  private func expect(
    _ reason: String, of socket: consuming Descriptor, _ location: SourceLocation = #_sourceLocation
  ) throws {
    let refusal = try refusal(socket.number)
    #expect(refusal == reason, sourceLocation: location)
  }

  @Test func whatIsNoConnection() throws {
    let wire = try Wire()
    let file = Descriptor(owning: try systemCall("open") { hf_open("/dev/null", O_RDONLY | O_CLOEXEC, 0) })
    #expect(try refusal(file.number) == "it is not a socket")
    #expect(try refusal(-1) == "it is not a socket")
    try expect("it is neither an IPv4 nor an IPv6 socket", of: make(AF_UNIX, SOCK_STREAM))
    try expect("it is not a TCP socket", of: make(AF_INET, SOCK_DGRAM))
    try expect("it is not a TCP socket", of: make(AF_INET6, SOCK_DGRAM))
    try expect("it is not a TCP socket", of: make(AF_INET, SOCK_RAW, Int32(IPPROTO_TCP)))
    try expect("it is not connected", of: make(AF_INET, SOCK_STREAM))
    let listener = try wire.host.run { try TCPSocket.listen(on: Wire.service()) }
    #expect(try refusal(listener.number, in: wire.host).hasPrefix("it is listening"))
    // Nobody answers: the SYN waits at the lock.
    try wire.hostLock.close()
    let connecting = try wire.peer.run { try TCPSocket.connect(to: Wire.service()) }
    #expect(try refusal(connecting.number, in: wire.peer) == "it is still connecting")
  }

  @Test func aConnectionThatHasEnded() throws {
    let line = try Wire().connect()
    try line.exchange()
    try SocketEnd.reset(line.peer.number)
    try line.reaches(.close)
    #expect(try refusal(line.host.number, in: line.wire.host) == "it is not connected")
  }

  @Test func aConnectionThatBothSidesHaveClosed() throws {
    let line = try Wire().connect()
    try line.peer.finishWriting()
    try line.reaches(.closeWait)
    try line.wire.peerLock.close()
    try line.host.finishWriting()
    try line.reaches(.lastAck)
    #expect(try refusal(line.host.number, in: line.wire.host) == "both sides have closed it already (LAST_ACK)")
    try line.wire.peerLock.open()
    try line.finish()
  }

  /// A half that is closed can go on for hours.
  @Test func halfClosedConnectionsAreAccepted() throws {
    let line = try Wire().connect()
    try line.host.finishWriting()
    try line.reaches(.finWait2)
    #expect(try refusal(line.host.number, in: line.wire.host) == "accepted")
    #expect(try refusal(line.peer.number, in: line.wire.peer) == "accepted")
    try line.peerWrites(5000)
    try line.finish()
    try line.wire.expectNoHarm()
  }

  @Test func aConnectionThatIsBeingMovedByAnother() throws {
    let line = try Wire().connect()
    try line.host.setTCP(Int32(HF_TCP_REPAIR), 1)
    #expect(try refusal(line.host.number, in: line.wire.host).hasPrefix("it is in repair mode"))
    #expect(try line.host.getTCP(Int32(HF_TCP_REPAIR)) == 1)
    try line.host.setTCP(Int32(HF_TCP_REPAIR), -1)
    try line.exchange()
  }

  @Test func aConnectionOfAnotherNetworkNamespace() throws {
    let line = try Wire().connect()
    #expect(try refusal(line.host.number, in: line.wire.peer).contains("network namespace"))
    #expect(try refusal(line.host.number).contains("network namespace"))
    try line.exchange()
  }

  /// A mark in the stream that TCP_REPAIR does not know; what lies behind it does not even show in SIOCINQ.
  @Test func urgentDataThatWaits() throws {
    let line = try Wire().connect()
    var byte: UInt8 = 33
    try systemCall("send") { send(line.peer.number, &byte, 1, Int32(MSG_OOB)) }
    try line.peerWrites(10)
    try wait(for: "it to arrive", until: .seconds(10)) { try TCPInfo(line.host.number).bytesReceived == 11 }
    #expect(try refusal(line.host.number, in: line.wire.host).hasPrefix("urgent data (MSG_OOB) waits in it"))
    // Read, it is no obstacle any more.
    try systemCall("recv") { recv(line.host.number, &byte, 1, Int32(MSG_OOB)) }
    #expect(byte == 33)
    try line.hostReadsAll()
    #expect(try refusal(line.host.number, in: line.wire.host) == "accepted")
    try line.exchange()
  }

  @Test func segmentsThatAreSigned() throws {
    let wire = try Wire()
    let listener = try wire.host.run { try TCPSocket.listen(on: Wire.service()) }
    try sign(listener, with: Wire.address(9, .v4))
    let peer = try wire.peer.run { () throws -> TCPSocket in
      let socket = TCPSocket(owning: try make(AF_INET, SOCK_STREAM).release())
      try sign(socket, with: Wire.address(1, .v4))
      guard SocketAddress.connect(socket.number, to: Wire.service()) == 0 || errno == EINPROGRESS else {
        throw LabError("connect: error \(errno)")
      }
      return socket
    }
    var accepted: TCPSocket?
    try wait(for: "a connection", until: .seconds(10)) {
      accepted = try listener.accept()
      return accepted != nil
    }
    let host = try #require(accepted)
    let refusal = try refusal(host.number, in: wire.host)
    #expect(refusal.hasPrefix("its segments are signed (TCP_MD5SIG)"))
    let line = Line(wire: wire, host: host, peer: peer, listener: listener)
    try line.exchange()
    try line.finish()
    try wire.expectNoHarm()
  }

  /// struct tcp_md5sig (linux/tcp.h): the peer's address in 128 bytes, flags, prefix length, key length, interface, 80 bytes of key.
  private func sign(_ socket: TCPSocket, with peer: IPAddress) throws {
    var signature = [UInt8](repeating: 0, count: 216)
    signature.replaceSubrange(0..<2, with: withUnsafeBytes(of: UInt16(AF_INET)) { [UInt8]($0) })
    signature.replaceSubrange(4..<8, with: peer.bytes)
    signature.replaceSubrange(130..<132, with: withUnsafeBytes(of: UInt16(6)) { [UInt8]($0) })
    signature.replaceSubrange(136..<142, with: Array("secret".utf8))
    try systemCall("setsockopt(TCP_MD5SIG)") {
      setsockopt(socket.number, Int32(IPPROTO_TCP), TCP_MD5SIG, signature, socklen_t(signature.count))
    }
  }

  /// Both ends speak Multipath TCP, or one alone: its socket is one all the same.
  @Test(arguments: [true, false])
  func multipathTCP(bothEnds: Bool) throws {
    let wire = try Wire()
    try wire.peerLock.work(losing: true)
    let listener = try wire.host.run { () throws -> TCPSocket in
      let socket = TCPSocket(owning: try make(AF_INET, SOCK_STREAM, bothEnds ? Int32(HF_IPPROTO_MPTCP) : 0).release())
      try systemCall("bind") { SocketAddress.bind(socket.number, to: Wire.service()) }
      try systemCall("listen") { listen(socket.number, 8) }
      return socket
    }
    let client = try wire.peer.run { () throws -> TCPSocket in
      let socket = try make(AF_INET, SOCK_STREAM, Int32(HF_IPPROTO_MPTCP))
      try systemCall("connect") { SocketAddress.connect(socket.number, to: Wire.service()) }
      return TCPSocket(owning: socket.release())
    }
    var accepted: TCPSocket?
    try wait(for: "a connection", until: .seconds(10)) {
      accepted = try listener.accept()
      return accepted != nil
    }
    let server = try #require(accepted)
    #expect(try refusal(client.number, in: wire.peer) == "it uses Multipath TCP: open it as plain TCP (IPPROTO_TCP)")
    #expect(
      try refusal(server.number, in: wire.host)
        == (bothEnds ? "it uses Multipath TCP: open it as plain TCP (IPPROTO_TCP)" : "accepted"))
    for (writer, reader) in [(client, server), (server, client)] {
      #expect(try [UInt8](arrayLiteral: 1, 2, 3).withUnsafeBytes { try writer.write($0) } == 3)
      var bytes = [UInt8](repeating: 0, count: 8)
      try wait(for: "three bytes", until: .seconds(10)) {
        try bytes.withUnsafeMutableBytes { try reader.read(into: $0) } == 3
      }
    }
  }

  /// Kernel TLS, an upper-layer protocol. The daemon reads its name in two ways; a socket without one has none in either.
  @Test func anUpperLayerProtocol() throws {
    let line = try Wire().connect()
    try line.exchange()
    #expect(try refusal(line.host.number, in: line.wire.host) == "accepted")
    let name = Array("tls".utf8)
    let result = setsockopt(line.host.number, Int32(IPPROTO_TCP), Int32(HF_TCP_ULP), name, socklen_t(name.count))
    if result == 0 {
      #expect(
        try refusal(line.host.number, in: line.wire.host)
          == "it has the upper-layer protocol \"tls\" (TCP_ULP): kernel TLS state cannot be moved")
      return try line.exchange()
    }
    // This kernel cannot make such a socket. Debian's can, and this test runs there.
    try #require(errno == ENOENT && !OtherKernel.isThis, "errno \(errno)")
    let output = try OtherKernel.output()
    #expect(output.contains("Test anUpperLayerProtocol() passed"), "\(output)")
  }

  @Test func aPeerWhoseAddressHoldsOnOneInterfaceAlone() throws {
    let wire = try Wire()
    let listener = try wire.host.run {
      try TCPSocket.listen(on: Endpoint(address: IPAddress(v6High: 0, low: 0), port: Wire.port))
    }
    // The service's address is global, the client's is not.
    try wire.peer.ip(batch: "addr del fd77::9/64 dev eth0\nroute add fd77::/64 dev eth0\n")
    let client = try wire.peer.run { try TCPSocket.connect(to: Wire.service(.v6)) }
    var accepted: TCPSocket?
    try wait(for: "a connection", until: .seconds(10)) {
      accepted = try listener.accept()
      return accepted != nil
    }
    let host = try #require(accepted)
    #expect(host.peerEndpoint?.address.isLinkLocal == true)
    #expect(try refusal(host.number, in: wire.host).contains("link-local"))
    _ = client
  }

  @Test(arguments: Wire.Kind.allCases)
  func diagnosisFindsTheSocketAndNoOther(_ kind: Wire.Kind) throws {
    let line = try Wire().connect(kind)
    let flow = try SocketInspection.flow(line.host.number).flow
    let other = Flow(local: flow.local, peer: Endpoint(address: flow.peer.address, port: flow.peer.port &+ 1))
    try line.wire.host.run {
      try line.peerWrites(500)
      try wait(for: "input", until: .seconds(10)) { try SocketQueues.unread(line.host.number) == 500 }
      let diagnosis = try SocketDiagnosis(line.host.number, flow: flow)
      #expect(diagnosis?.receiveQueue == 500)
      #expect(diagnosis?.hasSignatureKeys == false)
      #expect(diagnosis?.upperProtocol == "")
      // Falls to the listener, which is another socket.
      #expect(try SocketDiagnosis(line.host.number, flow: other) == nil)
    }
  }

  @Test func aSocketThatIsBoundToItsInterfaceIsFound() throws {
    let line = try Wire().connect()
    try line.host.set(
      SOL_SOCKET, Int32(HF_SO_BINDTOIFINDEX), Int32(bitPattern: try line.wire.host.run { if_nametoindex("eth0") }))
    #expect(try refusal(line.host.number, in: line.wire.host) == "accepted")
  }
}
