/// An answer, whole before its first byte is sent: whoever has this value and the same files can send any part of it.
struct Answer: Hashable {
  enum Method: String {
    case get = "GET"
    case head = "HEAD"
    /// One that is refused.
    case other = "-"
  }

  var method: Method
  /// Percent-encoded; `/` where the request's was not understood.
  var target: String
  var status: Int
  /// Bytes of the file; empty when the answer is not about one.
  var range: Range<Int>
  /// The file's size.
  var total: Int
  var keepAlive: Bool
  /// How much input the request was.
  var headerLength: Int

  /// Longest target, so that the key stays within what the daemon takes.
  static let targetLimit = 2048

  init(
    method: Method, target: String, status: Int, range: Range<Int>, total: Int, keepAlive: Bool, headerLength: Int
  ) {
    self.method = method
    self.target = target
    self.status = status
    self.range = range
    self.total = total
    self.keepAlive = keepAlive
    self.headerLength = headerLength
  }

  /// Refuses a request that was not understood; the connection ends.
  static func refusal(_ status: Int, headerLength: Int) -> Answer {
    Answer(
      method: .other, target: "/", status: status, range: 0..<0, total: 0, keepAlive: false, headerLength: headerLength)
  }

  /// Decides.
  /// - Parameter size: of the file that has the request's target; nil when there is none.
  init(to request: Request, headerLength: Int, size: (String) -> Int?) {
    self = .refusal(200, headerLength: headerLength)
    keepAlive = request.keepAlive && !request.hasContent
    guard request.target.utf8.count <= Self.targetLimit else {
      status = 414
      return
    }
    target = request.target
    guard let method = Method(rawValue: request.method), method != .other else {
      status = request.method == "-" ? 400 : 405
      return
    }
    self.method = method
    guard let size = size(target) else {
      status = 404
      return
    }
    total = size
    range = 0..<size
    // Ranges are for GET alone (RFC 9110, 14.2).
    guard method == .get, let asked = request.range else { return }
    switch asked {
    case .from(let start, let last):
      guard start < size else {
        refuseRange()
        return
      }
      range = start..<min(last ?? size - 1, size - 1) + 1
    case .last(let count):
      guard count > 0, size > 0 else {
        refuseRange()
        return
      }
      range = max(0, size - count)..<size
    }
    status = 206
  }

  private mutating func refuseRange() {
    status = 416
    range = 0..<0
  }

  /// The content is a part of the file.
  var isFile: Bool { status == 200 || status == 206 }

  /// Everything before the file's bytes.
  var preamble: [UInt8] {
    let text = isFile ? "" : "\(status) \(reason)\n"
    var lines = [
      "HTTP/1.1 \(status) \(reason)", "Content-Length: \(isFile ? range.count : text.utf8.count)",
      "Content-Type: \(isFile ? contentType : "text/plain")", "Connection: \(keepAlive ? "keep-alive" : "close")",
    ]
    if isFile { lines.append("Accept-Ranges: bytes") }
    if status == 206 { lines.append("Content-Range: bytes \(range.lowerBound)-\(range.upperBound - 1)/\(total)") }
    if status == 416 { lines.append("Content-Range: bytes */\(total)") }
    if status == 405 { lines.append("Allow: GET, HEAD") }
    return Array((lines.joined(separator: "\r\n") + "\r\n\r\n" + (method == .head ? "" : text)).utf8)
  }

  /// The file's bytes that follow.
  var content: Range<Int> { isFile && method == .get ? range : 0..<0 }

  private var reason: String {
    switch status {
    case 200: "OK"
    case 206: "Partial Content"
    case 404: "Not Found"
    case 405: "Method Not Allowed"
    case 414: "URI Too Long"
    case 416: "Range Not Satisfiable"
    case 431: "Request Header Fields Too Large"
    case 505: "HTTP Version Not Supported"
    default: "Bad Request"
    }
  }

  private var contentType: String {
    let name = target.split(separator: "/").last ?? ""
    return switch name.split(separator: ".").last {
    case "html", nil: "text/html"
    case "txt": "text/plain"
    case "css": "text/css"
    case "js": "text/javascript"
    case "json": "application/json"
    case "png": "image/png"
    case "jpg", "jpeg": "image/jpeg"
    case "svg": "image/svg+xml"
    default: "application/octet-stream"
    }
  }
}

extension Answer {
  /// As the registration's key: all of it, so that the other instance need not see the request.
  ///
  ///     GET /big.iso 0 4700000000 keep 78 200 4700000000
  var key: String {
    """
    \(method.rawValue) \(target) \(range.lowerBound) \(range.upperBound) \(keepAlive ? "keep" : "close") \
    \(headerLength) \(status) \(total)
    """
  }

  /// nil when it is not one of ours.
  init?(key: String) {
    let parts = key.split(separator: " ", omittingEmptySubsequences: false)
    guard parts.count == 8, let method = Method(rawValue: String(parts[0])), let start = Int(parts[2]),
      let end = Int(parts[3]), let headerLength = Int(parts[5]), let status = Int(parts[6]), let total = Int(parts[7]),
      parts[4] == "keep" || parts[4] == "close", 0 <= start, start <= end, end <= total, headerLength >= 0
    else { return nil }
    self.init(
      method: method, target: String(parts[1]), status: status, range: start..<end, total: total,
      keepAlive: parts[4] == "keep", headerLength: headerLength)
  }
}
