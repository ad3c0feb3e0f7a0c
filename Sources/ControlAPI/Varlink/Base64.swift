internal import FoundationEssentials

/// Bytes inside JSON.
extension [UInt8] {
  /// nil when `text` is no base64 (RFC 4648 section 4, with padding).
  package init?(base64 text: String) {
    guard let data = Data(base64Encoded: text) else { return nil }
    self.init(data)
  }

  package var base64: String { Data(self).base64EncodedString() }
}
