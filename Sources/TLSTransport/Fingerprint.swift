internal import COpenSSL

/// SHA-256 of a certificate as it is encoded (DER): what a host is known by. `openssl x509 -noout -fingerprint -sha256` shows
/// the same.
public struct Fingerprint: Hashable, Sendable {
  /// 32 of them.
  public let bytes: [UInt8]

  /// - Parameter certificate: DER.
  public init(of certificate: some Collection<UInt8>) {
    let certificate = Array(certificate)
    bytes = [UInt8](unsafeUninitializedCapacity: 32) { buffer, count in
      SHA256(certificate, certificate.count, buffer.baseAddress)
      count = 32
    }
  }

  /// Reads 64 hexadecimal digits in either case; colons between them and a leading `sha256:` may stand.
  public init?(_ text: String) {
    var digits = text[...]
    if digits.lowercased().hasPrefix("sha256:") { digits = digits.dropFirst(7) }
    let values = digits.filter { $0 != ":" }.map { $0.isASCII ? $0.hexDigitValue : nil }
    guard values.count == 64 else { return nil }
    var bytes: [UInt8] = []
    for index in stride(from: 0, to: 64, by: 2) {
      guard let high = values[index], let low = values[index + 1] else { return nil }
      bytes.append(UInt8(high << 4 | low))
    }
    self.bytes = bytes
  }
}

extension Fingerprint: CustomStringConvertible {
  public var description: String {
    "sha256:" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
