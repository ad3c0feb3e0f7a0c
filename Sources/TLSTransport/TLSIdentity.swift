internal import COpenSSL
internal import Glibc
internal import SystemPackage

/// A host's certificate and its private key.
public final class TLSIdentity {
  let key: OpaquePointer
  let certificate: OpaquePointer
  /// The certificate, DER.
  public let encodedCertificate: [UInt8]
  public let fingerprint: Fingerprint

  /// Longest certificate, bytes: it travels in each heartbeat, which is not to be fragmented.
  public static let certificateLimit = 1000

  /// Reads both from PEM files.
  ///
  /// Errors: what is wrong with the certificate's file, or the key's, in the case that names it.
  public convenience init(certificatePath: String, keyPath: String) throws(TLSIdentityError) {
    let certificate: [UInt8]
    do { certificate = try KeyFile.read(certificatePath, isSecret: false) } catch {
      throw .certificate(error)
    }
    var key: [UInt8]
    do { key = try KeyFile.read(keyPath, isSecret: true) } catch { throw .key(error) }
    defer { key.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) } }
    try self.init(certificate: certificate, key: key)
  }

  /// - Parameters: the contents of the PEM files.
  init(certificate pem: [UInt8], key keyPEM: [UInt8]) throws(TLSIdentityError) {
    ERR_clear_error()
    guard let certificate = Self.decode(pem, { PEM_read_bio_X509($0, nil, hf_no_password, nil) }) else {
      ERR_clear_error()
      throw .certificate(.noCertificate)
    }
    guard let key = Self.decode(keyPEM, { PEM_read_bio_PrivateKey($0, nil, hf_no_password, nil) }) else {
      X509_free(certificate)
      ERR_clear_error()
      throw .key(String(decoding: keyPEM, as: UTF8.self).contains("ENCRYPTED") ? .encrypted : .noKey)
    }
    self.certificate = certificate
    self.key = key
    encodedCertificate = Self.encode(certificate)
    fingerprint = Fingerprint(of: encodedCertificate)
    // From here on deinit frees both.
    guard X509_check_private_key(certificate, key) == 1 else {
      ERR_clear_error()
      throw .key(.mismatch)
    }
    guard hf_is_p256(key) == 1 else { throw .key(.unsupportedKey) }
    guard encodedCertificate.count <= Self.certificateLimit else {
      throw .certificate(.tooLong(count: encodedCertificate.count, limit: Self.certificateLimit))
    }
  }

  deinit {
    X509_free(certificate)
    EVP_PKEY_free(key)
  }

  /// How the certificate's validity stands to the system's clock.
  public var validity: CertificateValidity { CertificateValidity(of: certificate) }

  private static func decode(_ pem: [UInt8], _ body: (OpaquePointer) -> OpaquePointer?) -> OpaquePointer? {
    pem.withUnsafeBytes { bytes in
      guard let bio = BIO_new_mem_buf(bytes.baseAddress, Int32(bytes.count)) else { return nil }
      defer { BIO_free(bio) }
      return body(bio)
    }
  }

  static func encode(_ certificate: OpaquePointer) -> [UInt8] {
    let count = Int(i2d_X509(certificate, nil))
    guard count > 0 else { return [] }
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, used in
      var cursor = buffer.baseAddress
      used = max(0, Int(i2d_X509(certificate, &cursor)))
    }
  }
}

/// Which of an identity's two files cannot be used, and why.
public enum TLSIdentityError: Error, Hashable, Sendable {
  case certificate(TLSError)
  case key(TLSError)
}

extension TLSIdentityError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .certificate(let error): "the certificate \(error)"
    case .key(let error): "the key \(error)"
    }
  }
}

/// How a certificate's validity stands to the system's clock.
public enum CertificateValidity: Hashable, Sendable {
  case notYet
  /// For so many whole days more.
  case valid(days: Int)
  case expired

  init(of certificate: OpaquePointer) {
    if X509_cmp_current_time(X509_get0_notBefore(certificate)) >= 0 {
      self = .notYet
    } else if X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0 {
      self = .expired
    } else {
      var days: Int32 = 0
      var seconds: Int32 = 0
      ASN1_TIME_diff(&days, &seconds, nil, X509_get0_notAfter(certificate))
      self = .valid(days: Int(days))
    }
  }
}
