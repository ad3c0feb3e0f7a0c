internal import COpenSSL
internal import Glibc
internal import SystemPackage

/// Makes a host's key and the certificate that the key signs itself.
public enum KeyGeneration {
  /// The certificate is valid from so many seconds ago: the peer's clock may be late.
  private static let leeway: Int = 86_400

  /// Writes a new key (mode 0600) and its certificate (mode 0644), PEM. Run by root, both belong to `owner` if there is such an
  /// account, so that a daemon that is not root can read its key.
  /// - Parameters:
  ///   - days: from now, until the certificate expires; 1 to 36500.
  ///   - overwrite: replace files that are there.
  /// - Returns: what the peer pins.
  public static func write(
    certificatePath: String, keyPath: String, days: Int, overwrite: Bool, owner: String
  ) throws(TLSIdentityError) -> Fingerprint {
    if !overwrite {
      // Both or none; the files are looked at again when they are made.
      for (path, problem) in [
        (keyPath, TLSIdentityError.key(.unwritable(.fileExists))),
        (certificatePath, .certificate(.unwritable(.fileExists))),
      ] where access(path, F_OK) == 0 {
        throw problem
      }
    }
    let account = getuid() == 0 ? getpwnam(owner).map { (user: $0.pointee.pw_uid, group: $0.pointee.pw_gid) } : nil
    var pair: (certificate: [UInt8], key: [UInt8])
    do { pair = try make(validFrom: -leeway, for: days * 86_400) } catch { throw .key(error) }
    defer { pair.key.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) } }
    let identity = try TLSIdentity(certificate: pair.certificate, key: pair.key)
    do {
      try KeyFile.write(pair.key, to: keyPath, mode: 0o600, overwrite: overwrite, owner: account)
    } catch { throw .key(error) }
    do {
      try KeyFile.write(pair.certificate, to: certificatePath, mode: 0o644, overwrite: overwrite, owner: account)
    } catch {
      // A key without its certificate would be in the way of the next attempt.
      if !overwrite { unlink(keyPath) }
      throw .certificate(error)
    }
    return identity.fingerprint
  }

  /// A new key on P-256 and its certificate, both PEM; seconds from now.
  static func make(validFrom start: Int, for end: Int) throws(TLSError) -> (certificate: [UInt8], key: [UInt8]) {
    ERR_clear_error()
    guard let key = hf_generate_p256() else { throw .failed("EVP_EC_gen") }
    defer { EVP_PKEY_free(key) }
    guard let certificate = X509_new() else { throw .failed("X509_new") }
    defer { X509_free(certificate) }
    try sign(certificate, with: key, start: start, end: end)
    let encodedKey = try encode { PEM_write_bio_PrivateKey($0, key, nil, nil, 0, nil, nil) }
    return (try encode { PEM_write_bio_X509($0, certificate) }, encodedKey)
  }

  private static func sign(_ certificate: OpaquePointer, with key: OpaquePointer, start: Int, end: Int)
    throws(TLSError)
  {
    var serial: UInt64 = 0
    let name = X509_get_subject_name(certificate)
    // The name says nothing about the host: anybody who connects is shown it.
    guard RAND_bytes(&serial, 8) == 1, X509_set_version(certificate, 2) == 1,
      ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), serial >> 1 | 1) == 1,
      X509_gmtime_adj(X509_getm_notBefore(certificate), start) != nil,
      X509_gmtime_adj(X509_getm_notAfter(certificate), end) != nil,
      X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, "holdfast", -1, -1, 0) == 1,
      X509_set_issuer_name(certificate, name) == 1, X509_set_pubkey(certificate, key) == 1,
      hf_add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") == 1,
      hf_add_extension(certificate, NID_key_usage, "critical,digitalSignature,keyAgreement") == 1,
      hf_add_extension(certificate, NID_ext_key_usage, "serverAuth,clientAuth") == 1,
      X509_sign(certificate, key, EVP_sha256()) > 0
    else { throw .failed("X509_sign") }
  }

  private static func encode(_ write: (OpaquePointer) -> Int32) throws(TLSError) -> [UInt8] {
    guard let bio = BIO_new(BIO_s_mem()) else { throw .failed("BIO_new") }
    defer { BIO_free(bio) }
    guard write(bio) == 1 else { throw .failed("PEM_write_bio") }
    var bytes: UnsafeMutablePointer<CChar>?
    let count = Int(hf_memory_bio_data(bio, &bytes))
    guard let bytes, count > 0 else { throw .failed("PEM_write_bio") }
    return Array(UnsafeRawBufferPointer(start: bytes, count: count))
  }
}
