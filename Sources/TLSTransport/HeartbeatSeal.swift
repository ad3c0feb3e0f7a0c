internal import COpenSSL

/// Tags heartbeats (HMAC-SHA-256), so that the peer knows who made them.
///
/// The keys follow from the two hosts' certificates alone: Diffie-Hellman between own key and the peer's (P-256), then HKDF
/// (RFC 5869) with both fingerprints, sender first, and the pair's name. So a host that has just started can tell its peer's
/// heartbeats from others before any session stands, and one that is sent back to its sender carries the wrong tag.
public final class HeartbeatSeal {
  /// Who made a datagram.
  public enum Origin: Hashable, Sendable {
    /// The holder of this certificate's key, for this host. When it was made is not said.
    case sealed(Fingerprint)
    /// It has no tag and shows the peer's certificate: a peer that does not know this host's yet. Anybody may have sent it.
    case introduction(Fingerprint)
    /// This host itself.
    case reflected
    case forged
  }

  private struct Peer {
    let certificate: [UInt8]
    let fingerprint: Fingerprint
    let sending: [UInt8]
    let receiving: [UInt8]
  }

  public static let tagCount = 32
  private static let salt = Array("holdfast heartbeat 1".utf8)

  private let context: TLSContext
  private let pair: String
  /// One for each fingerprint that is pinned, as soon as its certificate was seen.
  private var peers: [Peer] = []

  public init(_ context: TLSContext, pair: String) {
    self.context = context
    self.pair = pair
  }

  /// What the peer needs to check a tag: this host's certificate.
  public var credential: [UInt8] { context.identity.encodedCertificate }

  /// Writes the tag over the last 32 bytes; they stay as they are while the certificate of `peer` has not been seen.
  public func seal(_ datagram: inout [UInt8], for peer: Fingerprint?) {
    guard let known = peers.first(where: { $0.fingerprint == peer }), datagram.count >= Self.tagCount else { return }
    let body = datagram.count - Self.tagCount
    datagram.replaceSubrange(body..., with: Self.authenticate(datagram[..<body], with: known.sending))
  }

  /// - Parameters:
  ///   - datagram: as received; its last 32 bytes are the tag.
  ///   - credential: the sender's certificate, as it says.
  public func origin(of datagram: [UInt8], credential: [UInt8]) -> Origin {
    guard datagram.count >= Self.tagCount else { return .forged }
    let body = datagram[..<(datagram.count - Self.tagCount)]
    let tag = datagram[body.endIndex...]
    guard credential != self.credential else {
      return peers.contains { Self.isEqual(Self.authenticate(body, with: $0.sending), tag) } ? .reflected : .forged
    }
    guard let peer = peer(showing: credential) else { return .forged }
    if Self.isEqual(Self.authenticate(body, with: peer.receiving), tag) { return .sealed(peer.fingerprint) }
    return tag.allSatisfy { $0 == 0 } ? .introduction(peer.fingerprint) : .forged
  }

  private func peer(showing certificate: [UInt8]) -> Peer? {
    if let known = peers.first(where: { $0.certificate == certificate }) { return known }
    let fingerprint = Fingerprint(of: certificate)
    guard context.peers.contains(fingerprint), let secret = context.identity.agreement(with: certificate) else {
      return nil
    }
    func key(from sender: Fingerprint, to receiver: Fingerprint) -> [UInt8]? {
      Self.derive(from: secret, salt: Self.salt, info: sender.bytes + receiver.bytes + Array(pair.utf8))
    }
    let own = context.identity.fingerprint
    guard let sending = key(from: own, to: fingerprint), let receiving = key(from: fingerprint, to: own) else {
      return nil
    }
    let peer = Peer(certificate: certificate, fingerprint: fingerprint, sending: sending, receiving: receiving)
    peers.append(peer)
    return peer
  }

  /// A key of 32 bytes by HKDF-SHA-256 (RFC 5869).
  /// - Returns: nil when the library has no such function.
  static func derive(from secret: [UInt8], salt: [UInt8], info: [UInt8]) -> [UInt8]? {
    var key = [UInt8](repeating: 0, count: tagCount)
    guard hf_hkdf_sha256(secret, secret.count, salt, salt.count, info, info.count, &key, key.count) == 1 else {
      ERR_clear_error()
      return nil
    }
    return key
  }

  private static func authenticate(_ bytes: ArraySlice<UInt8>, with key: [UInt8]) -> [UInt8] {
    bytes.withUnsafeBytes { bytes in
      [UInt8](unsafeUninitializedCapacity: tagCount) { tag, count in
        HMAC(
          EVP_sha256(), key, Int32(key.count), bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count,
          tag.baseAddress, nil)
        count = tagCount
      }
    }
  }

  /// In a time that does not tell where they differ.
  private static func isEqual(_ left: [UInt8], _ right: ArraySlice<UInt8>) -> Bool {
    left.count == right.count
      && left.withUnsafeBytes { left in
        right.withUnsafeBytes { CRYPTO_memcmp(left.baseAddress, $0.baseAddress, left.count) == 0 }
      }
  }
}

extension TLSIdentity {
  /// What both holders of the two keys can compute and nobody else: the x coordinate of the shared point.
  /// - Returns: nil when the certificate cannot be read or its key is on another curve.
  func agreement(with certificate: [UInt8]) -> [UInt8]? {
    defer { ERR_clear_error() }
    return certificate.withUnsafeBufferPointer { bytes in
      var cursor = bytes.baseAddress
      guard let other = d2i_X509(nil, &cursor, bytes.count) else { return nil }
      defer { X509_free(other) }
      guard let context = EVP_PKEY_CTX_new(key, nil) else { return nil }
      defer { EVP_PKEY_CTX_free(context) }
      var count = 0
      guard let point = X509_get0_pubkey(other), hf_is_p256(point) == 1, EVP_PKEY_derive_init(context) == 1,
        EVP_PKEY_derive_set_peer(context, point) == 1, EVP_PKEY_derive(context, nil, &count) == 1
      else { return nil }
      var secret = [UInt8](repeating: 0, count: count)
      guard EVP_PKEY_derive(context, &secret, &count) == 1, count == secret.count else { return nil }
      return secret
    }
  }
}
