internal import FoundationEssentials

/// Varlink messages as bytes and back (https://varlink.org/Method-Call): JSON objects, the NUL that ends each included on the
/// way out and left off on the way in.
public enum VarlinkCodec {
  /// Of a method that takes, or returns, nothing.
  public struct NoParameters: Codable, Hashable, Sendable {
    public init() {}
  }

  /// What every call has, whatever its method.
  struct CallHeader: Decodable {
    var method: String
    var oneway: Bool?
    var more: Bool?
    var upgrade: Bool?
  }

  private struct Parameters<Value: Decodable>: Decodable {
    var parameters: Value?
  }

  private struct OutgoingCall<Value: Encodable>: Encodable {
    var method: String
    var parameters: Value
    var oneway: Bool?
    var more: Bool?
  }

  private struct OutgoingReply<Value: Encodable>: Encodable {
    var parameters: Value
    var continues: Bool?
  }

  private struct OutgoingError: Encodable {
    var error: String
    var parameters: [String: String]
  }

  private struct ReplyHeader: Decodable {
    var error: String?
    var continues: Bool?
  }

  // MARK: Calls

  static func encodeCall(
    _ method: String, _ parameters: some Encodable, more: Bool = false, oneway: Bool = false
  ) throws -> [UInt8] {
    try encode(
      OutgoingCall(method: method, parameters: parameters, oneway: oneway ? true : nil, more: more ? true : nil))
  }

  /// Throws when `message` is no call at all.
  static func decodeHeader(_ message: [UInt8]) throws -> CallHeader {
    try JSONDecoder().decode(CallHeader.self, from: Data(message))
  }

  /// The parameters of the call in `message`. Throws `invalidParameter`, naming the one that is missing or has the wrong type.
  static func decodeParameters<Value: Decodable>(
    _ type: Value.Type, of message: [UInt8]
  ) throws(ControlError) -> Value {
    do {
      if let value = try JSONDecoder().decode(Parameters<Value>.self, from: Data(message)).parameters { return value }
      return try JSONDecoder().decode(type, from: Data("{}".utf8))
    } catch {
      throw .invalidParameter(parameter: (error as? DecodingError)?.parameterName ?? "parameters")
    }
  }

  // MARK: Replies

  static func encodeReply(_ parameters: some Encodable, continues: Bool) throws -> [UInt8] {
    try encode(OutgoingReply(parameters: parameters, continues: continues ? true : nil))
  }

  static func encodeError(_ error: ControlError) throws -> [UInt8] {
    try encode(OutgoingError(error: error.name, parameters: error.parameters))
  }

  /// A reply that was no error.
  struct Reply<Value> {
    var parameters: Value
    /// More replies to the same call follow.
    var continues: Bool
  }

  /// Throws the `ControlError` that the reply is, or what is wrong with it.
  static func decodeReply<Value: Decodable>(_ type: Value.Type, from message: [UInt8]) throws -> Reply<Value> {
    let header = try JSONDecoder().decode(ReplyHeader.self, from: Data(message))
    if let name = header.error {
      // A foreign error may have parameters that are no strings.
      let parameters = try? JSONDecoder().decode(Parameters<[String: String]>.self, from: Data(message)).parameters
      throw ControlError(name: name, parameters: parameters ?? [:])
    }
    let body = try JSONDecoder().decode(Parameters<Value>.self, from: Data(message)).parameters
    return Reply(
      parameters: try body ?? JSONDecoder().decode(type, from: Data("{}".utf8)), continues: header.continues ?? false)
  }

  private static func encode(_ value: some Encodable) throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return [UInt8](try encoder.encode(value)) + [0]
  }
}

extension DecodingError {
  /// The field that the error is about, less the `parameters` around it; nil when it is about the whole.
  fileprivate var parameterName: String? {
    let path: [any CodingKey] =
      switch self {
      case .keyNotFound(let key, let context): context.codingPath + [key]
      case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
        context.codingPath
      @unknown default: []
      }
    return path.last.flatMap { $0.stringValue == "parameters" ? nil : $0.stringValue }
  }
}
