internal import COpenSSL
internal import Glibc
public import LinuxNetwork

/// TLS 1.3 around another transport: both ends show a certificate, and each accepts only the one that it expects.
///
/// OpenSSL never sees the socket. It reads ciphertext from a buffer that was filled with one large read, and writes records
/// into another that goes out with one write, so that a burst costs as few calls to the kernel as it does in plaintext.
public final class TLSStream: ByteTransport {
  public enum Side { case client, server }

  private let inner: any ByteTransport
  private let context: TLSContext
  private let session: OpaquePointer
  private let buffers: UnsafeMutablePointer<hf_tls_buffers>
  private let received: UnsafeMutableRawBufferPointer
  /// Plaintext of a record that consists of several pieces.
  private let staging: UnsafeMutableRawBufferPointer
  public private(set) var isEstablished = false
  /// Why the other end's certificate was refused.
  private var objection: String?
  private var records = 0
  /// A key is used for so many records at most (RFC 8446 section 5.5: 2^24.5 full ones for AES-GCM).
  let recordsPerKey: Int

  /// Longest plaintext of a record, bytes (RFC 8446 section 5.1).
  private static let recordLimit = 1 << 14
  private static let receivedCount = 1 << 18
  /// Ciphertext that is made before the first of it has to be on its way, bytes.
  private static let burst = 1 << 18

  public convenience init(_ inner: any ByteTransport, _ side: Side, _ context: TLSContext) throws(TLSError) {
    try self.init(inner, side, context, recordsPerKey: 1 << 23)
  }

  init(_ inner: any ByteTransport, _ side: Side, _ context: TLSContext, recordsPerKey: Int) throws(TLSError) {
    self.inner = inner
    self.context = context
    self.recordsPerKey = recordsPerKey
    ERR_clear_error()
    guard let session = SSL_new(context.handle) else { throw .failed("SSL_new") }
    buffers = .allocate(capacity: 1)
    buffers.initialize(to: hf_tls_buffers())
    received = .allocate(byteCount: Self.receivedCount, alignment: 16)
    staging = .allocate(byteCount: Self.recordLimit, alignment: 16)
    self.session = session
    guard hf_attach(session, context.method, buffers) == 1 else { throw .failed("BIO_new") }
    SSL_set_ex_data(session, 0, Unmanaged.passUnretained(self).toOpaque())
    switch side {
    case .client: SSL_set_connect_state(session)
    case .server: SSL_set_accept_state(session)
    }
  }

  deinit {
    SSL_free(session)
    free(buffers.pointee.out)
    buffers.deallocate()
    received.deallocate()
    staging.deallocate()
  }

  public var descriptor: Int32 { inner.descriptor }
  public var hasUnsentBytes: Bool { buffers.pointee.out_start < buffers.pointee.out_end }
  public var hasBufferedInput: Bool { buffers.pointee.in_count > 0 || SSL_has_pending(session) == 1 }

  // MARK: Trust

  /// Called by OpenSSL in the place of its own verification of a chain.
  static func verify(_ store: OpaquePointer?) -> Int32 {
    guard let session = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()),
      let data = SSL_get_ex_data(OpaquePointer(session), 0)
    else { return 0 }
    let transport = Unmanaged<TLSStream>.fromOpaque(data).takeUnretainedValue()
    guard let objection = transport.context.objection(to: X509_STORE_CTX_get0_cert(store)) else { return 1 }
    transport.objection = objection.reason
    X509_STORE_CTX_set_error(store, objection.code)
    return 0
  }

  private func shakeHands() throws {
    ERR_clear_error()
    let result = SSL_do_handshake(session)
    if result == 1 {
      isEstablished = true
    } else if SSL_get_error(session, result) != SSL_ERROR_WANT_READ {
      throw failure("the TLS handshake failed")
    }
    try flush()
  }

  /// What ended the session. The alert that tells the other side is sent as far as possible.
  private func failure(_ what: String) -> TLSError {
    let reason = TLSError.lastReason
    try? flush()
    if let objection { return .untrusted(objection) }
    return .session([what, reason].compactMap(\.self).joined(separator: ": "))
  }

  // MARK: Bytes

  public func read(into space: UnsafeMutableRawBufferPointer) throws -> Int? {
    var total = 0
    do {
      return try read(into: space, &total)
    } catch  where total > 0 {
      // What came before the end counts: a farewell, as a rule. The end is found again.
      return total
    }
  }

  private func read(into space: UnsafeMutableRawBufferPointer, _ total: inout Int) throws -> Int? {
    while total < space.count {
      if !isEstablished {
        try shakeHands()
        if !isEstablished {
          guard try receive() else { return nil }
          continue
        }
      }
      var count = 0
      ERR_clear_error()
      let result = SSL_read_ex(session, space.baseAddress?.advanced(by: total), space.count - total, &count)
      if result == 1 {
        total += count
        continue
      }
      switch SSL_get_error(session, result) {
      case SSL_ERROR_WANT_READ:
        // An answer to a request for new keys may wait to be sent.
        try flush()
        guard try receive() else { return total > 0 ? total : nil }
      case SSL_ERROR_ZERO_RETURN: return total
      default: throw failure("the TLS session failed")
      }
    }
    return total
  }

  /// Takes in what the socket has, when everything before it has been read.
  /// - Returns: whether there was something.
  private func receive() throws -> Bool {
    guard buffers.pointee.in_count == 0 else { return true }
    guard let count = try inner.read(into: received) else { return false }
    guard count > 0 else {
      throw TLSError.session(
        isEstablished
          ? "the other side closed the channel" : "the other side closed the connection during the TLS handshake")
    }
    buffers.pointee.in = UnsafePointer(received.baseAddress?.assumingMemoryBound(to: UInt8.self))
    buffers.pointee.in_count = count
    return true
  }

  public func write(_ pieces: [UnsafeRawBufferPointer]) throws -> Int? {
    try flush()
    if !isEstablished { try shakeHands() }
    guard isEstablished, !hasUnsentBytes else { return nil }
    var taken = 0
    var index = 0
    var offset = 0
    while index < pieces.count, buffers.pointee.out_end < Self.burst {
      let piece = UnsafeRawBufferPointer(rebasing: pieces[index][offset...])
      if piece.count >= Self.recordLimit {
        // Encrypted from where it lies.
        try seal(UnsafeRawBufferPointer(rebasing: piece[..<Self.recordLimit]))
        taken += Self.recordLimit
        offset += Self.recordLimit
      } else {
        let count = gather(pieces, &index, &offset)
        try seal(UnsafeRawBufferPointer(rebasing: staging[..<count]))
        taken += count
      }
      while index < pieces.count, offset == pieces[index].count {
        index += 1
        offset = 0
      }
    }
    try flush()
    return taken > 0 ? taken : nil
  }

  /// Fills a record from small pieces; moves on behind what it took.
  private func gather(_ pieces: [UnsafeRawBufferPointer], _ index: inout Int, _ offset: inout Int) -> Int {
    var count = 0
    while index < pieces.count, count < Self.recordLimit {
      let part = min(pieces[index].count - offset, Self.recordLimit - count)
      UnsafeMutableRawBufferPointer(rebasing: staging[count...])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: pieces[index][offset..<offset + part]))
      count += part
      offset += part
      if offset == pieces[index].count {
        index += 1
        offset = 0
      }
    }
    return count
  }

  /// One record. Memory takes it, so nothing stands in its way but a broken session.
  private func seal(_ plaintext: UnsafeRawBufferPointer) throws {
    guard plaintext.count > 0 else { return }
    ERR_clear_error()
    records += 1
    if records >= recordsPerKey {
      records = 0
      guard SSL_key_update(session, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 else {
        throw failure("the TLS session's keys cannot be changed")
      }
    }
    var count = 0
    guard SSL_write_ex(session, plaintext.baseAddress, plaintext.count, &count) == 1, count == plaintext.count else {
      throw failure("the TLS session failed")
    }
  }

  public func flush() throws {
    while hasUnsentBytes, let out = buffers.pointee.out {
      let rest = UnsafeRawBufferPointer(
        start: out + buffers.pointee.out_start, count: buffers.pointee.out_end - buffers.pointee.out_start)
      guard let count = try inner.write([rest]) else { return }
      buffers.pointee.out_start += count
    }
    buffers.pointee.out_start = 0
    buffers.pointee.out_end = 0
  }
}
