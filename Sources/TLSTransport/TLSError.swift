internal import COpenSSL
public import SystemPackage

/// Why a key or certificate cannot be used, or the other end of a channel not be trusted.
public enum TLSError: Error, Hashable, Sendable {
  case unreadable(Errno)
  case unwritable(Errno)
  /// Others than the owner and its group may read the key, or others than the owner write it.
  case permissions(mode: UInt32)
  case noCertificate
  case noKey
  /// The key is protected by a password, and nobody is there to be asked for it.
  case encrypted
  /// Not an elliptic key on the curve P-256.
  case unsupportedKey
  /// The key is not the certificate's.
  case mismatch
  /// The certificate does not fit into a heartbeat.
  case tooLong(count: Int, limit: Int)
  /// The other end's certificate is not the one that is expected there.
  case untrusted(String)
  /// The session cannot go on.
  case session(String)
  /// OpenSSL failed where nobody's input is to blame: out of memory, as a rule.
  case library(call: String, reason: String)
}

extension TLSError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .unreadable(let errno): "cannot be read: \(errno)"
    case .unwritable(let errno): "cannot be written: \(errno)"
    case .permissions(let mode):
      "has the permissions 0\(String(mode, radix: 8)): only its owner, and its group to read, may have access (chmod 0600)"
    case .noCertificate: "holds no certificate in PEM form; holdfastctl keygen makes one"
    case .noKey: "holds no private key in PEM form; holdfastctl keygen makes one"
    case .encrypted: "is protected by a password, which the daemon cannot ask for"
    case .unsupportedKey: "is not a key on the curve P-256, which heartbeats need; holdfastctl keygen makes one"
    case .mismatch: "is not the key of the certificate"
    case .tooLong(let count, let limit): "is \(count) bytes long (DER); \(limit) fit into a heartbeat"
    case .untrusted(let reason), .session(let reason): reason
    case .library(let call, let reason): "\(call): \(reason)"
    }
  }

  /// The failure of a call to OpenSSL, with what its error queue says; empties the queue.
  static func failed(_ call: String) -> TLSError { .library(call: call, reason: lastReason ?? "failed") }

  /// The oldest reason in OpenSSL's error queue of this thread; empties it.
  static var lastReason: String? {
    let code = ERR_get_error()
    ERR_clear_error()
    guard code != 0 else { return nil }
    return ERR_reason_error_string(code).map { String(cString: $0) } ?? "error \(code)"
  }
}
