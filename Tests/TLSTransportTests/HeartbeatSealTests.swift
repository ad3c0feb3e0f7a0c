import Testing

@testable import TLSTransport

@Suite struct HeartbeatSealTests {
  private let alpha: TLSIdentity
  private let beta: TLSIdentity
  private let body = [UInt8](1...100)

  init() throws {
    alpha = try identity()
    beta = try identity()
  }

  private func seal(_ own: TLSIdentity, _ peers: TLSIdentity..., pair: String = "web") throws -> HeartbeatSeal {
    HeartbeatSeal(try TLSContext(identity: own, peers: peers.map(\.fingerprint)), pair: pair)
  }

  /// A datagram of `sender` that its peer, which has shown its certificate, can check.
  private func datagram(from sender: HeartbeatSeal, to receiver: TLSIdentity) -> [UInt8] {
    let untagged = body + [UInt8](repeating: 0, count: 32)
    #expect(sender.origin(of: untagged, credential: receiver.encodedCertificate) == .introduction(receiver.fingerprint))
    var datagram = untagged
    sender.seal(&datagram, for: receiver.fingerprint)
    return datagram
  }

  /// No session is needed: the two certificates are enough.
  @Test func thePeersTagIsGoodFromTheFirstDatagramOn() throws {
    let sent = datagram(from: try seal(alpha, beta), to: beta)
    #expect(sent[..<100] == body[...] && sent.count == 132)
    #expect(try seal(beta, alpha).origin(of: sent, credential: alpha.encodedCertificate) == .sealed(alpha.fingerprint))
  }

  @Test func everyChangedBitIsForgery() throws {
    let receiver = try seal(beta, alpha)
    let sent = datagram(from: try seal(alpha, beta), to: beta)
    for place in sent.indices {
      var changed = sent
      changed[place] ^= 1
      #expect(receiver.origin(of: changed, credential: alpha.encodedCertificate) == .forged)
    }
  }

  @Test func whatComesBackIsKnownAsOwn() throws {
    let sender = try seal(alpha, beta)
    let sent = datagram(from: sender, to: beta)
    #expect(sender.origin(of: sent, credential: alpha.encodedCertificate) == .reflected)
    // Nor does it pass with the peer's certificate in the place of its own.
    #expect(sender.origin(of: sent, credential: beta.encodedCertificate) == .forged)
  }

  @Test func aStrangersTagIsForgery() throws {
    let mallory = try identity()
    let sent = datagram(from: try seal(mallory, beta), to: beta)
    let receiver = try seal(beta, alpha)
    #expect(receiver.origin(of: sent, credential: mallory.encodedCertificate) == .forged)
    #expect(receiver.origin(of: sent, credential: alpha.encodedCertificate) == .forged)
    #expect(receiver.origin(of: sent, credential: []) == .forged)
    #expect(receiver.origin(of: [1, 2, 3], credential: alpha.encodedCertificate) == .forged)
  }

  /// A heartbeat of one pair says nothing about another of the same hosts.
  @Test func theTagIsThePairs() throws {
    let sent = datagram(from: try seal(alpha, beta, pair: "mail"), to: beta)
    #expect(try seal(beta, alpha).origin(of: sent, credential: alpha.encodedCertificate) == .forged)
  }

  @Test func withoutThePeersCertificateNothingIsTagged() throws {
    let sender = try seal(alpha, beta)
    var datagram = body + [UInt8](repeating: 0, count: 32)
    sender.seal(&datagram, for: beta.fingerprint)
    #expect(datagram[100...].allSatisfy { $0 == 0 })
    // The pinned one is learnt from a datagram, another is not.
    #expect(try sender.origin(of: datagram, credential: identity().encodedCertificate) == .forged)
    #expect(sender.origin(of: datagram, credential: beta.encodedCertificate) == .introduction(beta.fingerprint))
  }

  @Test func hostileCertificatesAreForgery() throws {
    let receiver = try seal(beta, alpha)
    let datagram = body + [UInt8](repeating: 0, count: 32)
    for count in [0, 1, 100, 1000] {
      #expect(
        receiver.origin(of: datagram, credential: Array(alpha.encodedCertificate.prefix(count)) + [0x30]) == .forged)
    }
  }

  /// RFC 5869, A.1: the first 32 bytes.
  @Test func keysAreDerivedAsTheRFCSays() throws {
    let key = try #require(
      HeartbeatSeal.derive(
        from: [UInt8](repeating: 0x0b, count: 22), salt: [UInt8](0x00...0x0c), info: [UInt8](0xf0...0xf9)))
    #expect(
      key == [
        0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a, 0x90, 0x43, 0x4f, 0x64, 0xd0, 0x36, 0x2f, 0x2a, 0x2d, 0x2d,
        0x0a, 0x90, 0xcf, 0x1a, 0x5a, 0x4c, 0x5d, 0xb0, 0x2d, 0x56, 0xec, 0xc4, 0xc5, 0xbf,
      ])
  }
}
