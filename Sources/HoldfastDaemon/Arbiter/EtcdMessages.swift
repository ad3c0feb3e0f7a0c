internal import FoundationEssentials
internal import ControlAPI
internal import Pairing

/// What is said to etcd v3 through its JSON gateway (https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway): keys and values are
/// base64, 64-bit numbers are text.
enum EtcdMessages {
  struct Grant: Encodable {
    /// Seconds.
    var time: String
    enum CodingKeys: String, CodingKey { case time = "TTL" }
  }

  /// The answer to a grant, and inside `result` to a keepalive.
  struct Lease: Decodable {
    var id: String?
    /// Seconds; missing or 0 for a lease that has ended.
    var time: String?
    enum CodingKeys: String, CodingKey {
      case id = "ID"
      case time = "TTL"
    }
  }

  struct KeepAlive: Encodable {
    var id: String
    enum CodingKeys: String, CodingKey { case id = "ID" }
  }
  struct KeptAlive: Decodable { var result: Lease? }

  struct Key: Encodable { var key: String }

  struct Put: Encodable {
    var key: String
    var value: String
    var lease: String?
  }

  struct Compare: Encodable {
    var key: String
    var target = "MOD"
    var result = "EQUAL"
    /// The revision of the last change; 0 for a key that is not there.
    var modRevision: String
  }

  struct Operation: Encodable {
    var requestRange: Key?
    var requestPut: Put?
    var requestDeleteRange: Key?
  }

  struct Transaction: Encodable {
    var compare: [Compare]
    var success: [Operation]
    var failure: [Operation]
  }

  struct TransactionAnswer: Decodable {
    struct KeyValue: Decodable {
      var modRevision: String?
      var value: String?
    }
    struct Range: Decodable { var kvs: [KeyValue]? }
    struct Response: Decodable { var responseRange: Range? }
    var succeeded: Bool?
    var responses: [Response]?
  }

  /// A win as it stands in a value: people read it with etcdctl.
  struct Win: Codable {
    var epoch: UInt64
    var node: String
    /// Text, because JSON's numbers end at 2^53 for many readers.
    var instance: String
  }

  static func text(_ value: some Encodable) -> String {
    // These types have nothing that could not be encoded.
    guard let data = try? JSONEncoder().encode(value) else { return "{}" }
    return String(decoding: data, as: UTF8.self)
  }

  static func read<Value: Decodable>(_: Value.Type, _ bytes: [UInt8]) -> Value? {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try? decoder.decode(Value.self, from: Data(bytes))
  }

  static func base64(_ text: String) -> String { Array(text.utf8).base64 }

  static func value(of win: ArbiterRecord.Win) -> String {
    base64(text(Win(epoch: win.epoch, node: win.node, instance: "\(win.instance)")))
  }

  /// nil when it is something else.
  static func win(_ value: String) -> ArbiterRecord.Win? {
    guard let bytes = [UInt8](base64: value), let win = read(Win.self, bytes), let instance = UInt64(win.instance),
      win.epoch < Epoch.limit
    else {
      return nil
    }
    return ArbiterRecord.Win(epoch: win.epoch, node: win.node, instance: instance)
  }
}

/// A pair's two keys as they were read in one transaction.
struct EtcdSnapshot {
  var record = ArbiterRecord()
  /// The revisions of the last changes, for the compare-and-swap; "0" for none.
  var winnerRevision = "0"
  var holderRevision = "0"
}
