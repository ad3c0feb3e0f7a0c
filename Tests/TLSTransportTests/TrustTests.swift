import LinuxNetwork
import Testing

@testable import TLSTransport

/// Whoever is not the peer gets nowhere, and the log says why.
@Suite struct TrustTests {
  /// Both ends' fates when `mallory` stands where the client should be.
  private func refusal(client mallory: TLSIdentity, pins: [Fingerprint], server: TLSIdentity) throws -> String {
    let ends = try Ends(client: mallory, server: server, serverPins: pins)
    do {
      try ends.shakeHands()
    } catch {
      #expect(!ends.server.isEstablished)
      // Not one byte of plaintext comes out of a server that has not accepted its client.
      #expect(throws: (any Error).self) { try ends.server.write([[1, 2, 3]]) }
      return "\(error)"
    }
    Issue.record("the handshake went through")
    return ""
  }

  @Test func aCertificateThatIsNotPinnedIsRefused() throws {
    let mallory = try identity(), peer = try identity()
    let reason = try refusal(client: mallory, pins: [peer.fingerprint], server: identity())
    #expect(reason.contains("\(mallory.fingerprint), which is not the peer_fingerprint"))
  }

  @Test func anExpiredCertificateIsRefusedThoughItIsPinned() throws {
    let peer = try identity(validFrom: -7200, for: -3600)
    #expect(peer.validity == .expired)
    let reason = try refusal(client: peer, pins: [peer.fingerprint], server: identity())
    #expect(reason.contains("has expired"))
  }

  @Test func aCertificateOfTheFutureIsRefused() throws {
    let peer = try identity(validFrom: 3600, for: 7200)
    let reason = try refusal(client: peer, pins: [peer.fingerprint], server: identity())
    #expect(reason.contains("not valid yet"))
  }

  /// The certificate is public; the key is what counts.
  @Test func aCopiedCertificateIsNothingWithoutItsKey() throws {
    let peer = try KeyGeneration.make(validFrom: -60, for: 3600)
    let mallory = try KeyGeneration.make(validFrom: -60, for: 3600)
    #expect(throws: TLSIdentityError.key(.mismatch)) {
      try TLSIdentity(certificate: peer.certificate, key: mallory.key)
    }
  }

  @Test func aServerThatIsNotThePeerIsRefused() throws {
    let client = try identity(), server = try identity(), other = try identity()
    let ends = try Ends(client: client, server: server, clientPins: [other.fingerprint])
    #expect(throws: TLSError.self) { try ends.shakeHands() }
    #expect(!ends.client.isEstablished)
  }

  /// Two fingerprints while the peer's key changes: either is good.
  @Test func eitherOfTwoPinnedCertificatesIsAccepted() throws {
    let server = try identity(), old = try identity(), new = try identity()
    for client in [old, new] {
      let ends = try Ends(client: client, server: server, serverPins: [old.fingerprint, new.fingerprint])
      try ends.shakeHands()
      #expect(ends.server.isEstablished)
    }
  }

  @Test func whoDoesNotSpeakTLSIsRefused() throws {
    let (end, other) = MemoryTransport.pair()
    let server = try TLSStream(other, .server, TLSContext(identity: identity(), peers: [identity().fingerprint]))
    end.outgoing.bytes = Array("GET / HTTP/1.0\r\n\r\n".utf8)
    #expect(throws: TLSError.self) { try server.readAll() }
    // An alert in plaintext at most: no certificate, no version of ours.
    #expect(end.incoming.bytes.count <= 7)
  }

  /// Version 1.2 has no forward secrecy for certificates: they would be sent in the clear.
  @Test func anOlderVersionIsRefused() throws {
    let (end, other) = MemoryTransport.pair()
    let server = try TLSStream(other, .server, TLSContext(identity: identity(), peers: [identity().fingerprint]))
    // A client hello of TLS 1.2: no extension names another version.
    let hello: [UInt8] =
      [3, 3] + [UInt8](repeating: 7, count: 32) + [0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]
    let body = [1, 0, 0, UInt8(hello.count)] + hello
    end.outgoing.bytes = [22, 3, 1, 0, UInt8(body.count)] + body
    let error = #expect(throws: TLSError.self) { try server.readAll() }
    #expect("\(try #require(error))".contains("unsupported protocol"))
  }

  @Test func aConnectionThatEndsInTheHandshakeIsAnError() throws {
    let ends = try Ends(client: identity(), server: identity())
    ends.serverEnd.incoming.isEnded = true
    #expect(throws: TLSError.session("the other side closed the connection during the TLS handshake")) {
      try ends.server.readAll()
    }
  }
}
