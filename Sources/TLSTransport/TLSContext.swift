internal import COpenSSL

/// How this host speaks to one peer: as whom, and to whom alone.
public final class TLSContext {
  public let identity: TLSIdentity
  /// Certificates that the peer may show; more than one while its key changes.
  public let peers: [Fingerprint]
  let handle: OpaquePointer
  let method: OpaquePointer

  /// Made once; the registration of a BIO's type cannot be undone.
  private nonisolated(unsafe) static let method = hf_buffers_method()

  public init(identity: TLSIdentity, peers: [Fingerprint]) throws(TLSError) {
    self.identity = identity
    self.peers = peers
    ERR_clear_error()
    guard let method = Self.method else { throw .failed("BIO_meth_new") }
    guard let handle = SSL_CTX_new(TLS_method()) else { throw .failed("SSL_CTX_new") }
    self.method = method
    self.handle = handle
    // The first is the fastest where the processor knows AES.
    let suites = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
    guard hf_ctx_configure(handle) == 1, SSL_CTX_set_ciphersuites(handle, suites) == 1,
      SSL_CTX_use_certificate(handle, identity.certificate) == 1, SSL_CTX_use_PrivateKey(handle, identity.key) == 1
    else { throw .failed("SSL_CTX_new") }
    SSL_CTX_set_verify(handle, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
    SSL_CTX_set_cert_verify_callback(handle, { store, _ in TLSStream.verify(store) }, nil)
  }

  deinit { SSL_CTX_free(handle) }

  /// Why a certificate is not the peer's, and OpenSSL's number for it (X509_V_ERR_…), from which the alert follows; nil when it
  /// is the peer's.
  func objection(to certificate: OpaquePointer?) -> (code: Int32, reason: String)? {
    guard let certificate else { return (X509_V_ERR_CERT_REJECTED, "the other side shows no certificate") }
    let fingerprint = Fingerprint(of: TLSIdentity.encode(certificate))
    guard peers.contains(fingerprint) else {
      return (
        X509_V_ERR_CERT_REJECTED,
        "the other side's certificate is \(fingerprint), which is not the peer_fingerprint of the configuration"
      )
    }
    switch CertificateValidity(of: certificate) {
    case .valid: return nil
    case .notYet:
      return (X509_V_ERR_CERT_NOT_YET_VALID, "the peer's certificate is not valid yet: compare the hosts' clocks")
    case .expired:
      return (X509_V_ERR_CERT_HAS_EXPIRED, "the peer's certificate has expired: make a new one with holdfastctl keygen")
    }
  }
}
