internal import CCurl
internal import Glibc
internal import LinuxNetwork
internal import Synchronization
internal import SystemCalls

/// Posts JSON to a service that several endpoints serve, one request after the other, on a thread of its own: whatever the
/// network, a name server or TLS take their time for, the loop does not wait. (libcurl-easy(3); connections are kept.)
///
/// An endpoint that does not answer, or says that it cannot, is followed by the next one; the one that answered last goes first.
final class HTTPLane {
  /// How the service is known, and this host to it.
  struct Trust: Sendable, Equatable {
    /// Path of the certificates of those who may vouch for an endpoint; nil for the system's.
    var authorities: String?
    /// Paths of this host's certificate and key; nil where the service does not ask.
    var certificate: String?
    var key: String?
  }

  /// Why there is no answer.
  struct Failure: Error, Sendable, CustomStringConvertible {
    var description: String
  }

  private struct Request: Sendable {
    var number: UInt64
    var path: String
    var body: String
    /// CLOCK_MONOTONIC, ns.
    var deadline: UInt64
  }

  /// What both threads touch.
  private final class Shared: Sendable {
    struct State {
      var requests: [Request] = []
      var answers: [(number: UInt64, result: Result<[UInt8], Failure>)] = []
      var isOver = false
    }
    let state = Mutex(State())
    /// The thread's end and the loop's; a byte on either says that something waits.
    let thread: Int32
    let loop: Int32

    init() throws(SystemCallError) {
      var ends: [Int32] = [-1, -1]
      try systemCall("socketpair") {
        socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends)
      }
      thread = ends[0]
      loop = ends[1]
    }

    deinit {
      close(thread)
      close(loop)
    }

    /// A buffer that is full wakes as well.
    static func wake(_ end: Int32) {
      var byte: UInt8 = 0
      _ = send(end, &byte, 1, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
    }
  }

  private let shared: Shared
  private var source: IOSource?
  private var completions: [UInt64: (Result<[UInt8], Failure>) -> Void] = [:]
  private var count: UInt64 = 0

  init(endpoints: [String], trust: Trust, loop: EventLoop, priority: Int, description: String) throws(SystemCallError) {
    let shared = try Shared()
    self.shared = shared
    source = try loop.addIO(shared.loop, .readable, priority: priority, description: description) { [weak self] _ in
      self?.takeAnswers()
    }
    try BackgroundThread.start {
      let worker = Worker(endpoints: endpoints, trust: trust)
      var bytes = [UInt8](repeating: 0, count: 64)
      while true {
        _ = read(shared.thread, &bytes, bytes.count)
        while true {
          let (request, isOver) = shared.state.withLock { state in
            (state.requests.isEmpty ? nil : state.requests.removeFirst(), state.isOver)
          }
          if isOver { return }
          guard let request else { break }
          let result = worker.post(request.path, request.body, deadline: request.deadline)
          shared.state.withLock { $0.answers.append((request.number, result)) }
          Shared.wake(shared.thread)
        }
      }
    }
  }

  deinit {
    source?.cancel()
    shared.state.withLock { $0.isOver = true }
    Shared.wake(shared.loop)
  }

  /// - Parameters:
  ///   - patience: ns for all endpoints together.
  ///   - completion: called once, on the loop.
  func post(
    _ path: String, _ body: String, patience: UInt64, completion: @escaping (Result<[UInt8], Failure>) -> Void
  ) {
    count += 1
    completions[count] = completion
    let request = Request(number: count, path: path, body: body, deadline: MonotonicClock.now + patience)
    shared.state.withLock { $0.requests.append(request) }
    Shared.wake(shared.loop)
  }

  private func takeAnswers() {
    var bytes = [UInt8](repeating: 0, count: 64)
    _ = recv(shared.loop, &bytes, bytes.count, Int32(MSG_DONTWAIT))
    let answers = shared.state.withLock { state in
      defer { state.answers = [] }
      return state.answers
    }
    for (number, result) in answers { completions.removeValue(forKey: number)?(result) }
  }

  // MARK: The thread

  /// Lives on the thread alone.
  private final class Worker {
    private let endpoints: [String]
    private let trust: Trust
    private let handle: UnsafeMutableRawPointer?
    private var headers: UnsafeMutablePointer<curl_slist>?
    private var first = 0
    private var body: [UInt8] = []

    /// An answer that is longer is none of etcd's to these questions.
    private static let limit = 1 << 20

    init(endpoints: [String], trust: Trust) {
      self.endpoints = endpoints
      self.trust = trust
      handle = curl_easy_init()
      headers = curl_slist_append(nil, "Content-Type: application/json")
      // Nothing waits for permission to send a body.
      headers = curl_slist_append(headers, "Expect:")
    }

    deinit {
      if let handle { curl_easy_cleanup(handle) }
      curl_slist_free_all(headers)
    }

    func post(_ path: String, _ text: String, deadline: UInt64) -> Result<[UInt8], Failure> {
      var reasons: [String] = []
      for offset in endpoints.indices {
        let index = (first + offset) % endpoints.count
        let now = MonotonicClock.now
        guard now < deadline else { break }
        // The time that is left is for those that are left.
        let share = (deadline - now) / UInt64(endpoints.count - offset)
        switch attempt(endpoints[index] + path, text, milliseconds: max(1, Int(share / 1_000_000))) {
        case .success(let bytes):
          first = index
          return .success(bytes)
        case .failure(let failure): reasons.append("\(endpoints[index]): \(failure)")
        }
      }
      first = (first + 1) % max(1, endpoints.count)
      return .failure(Failure(description: reasons.isEmpty ? "no answer in time" : reasons.joined(separator: "; ")))
    }

    private func attempt(_ url: String, _ text: String, milliseconds: Int) -> Result<[UInt8], Failure> {
      guard let curl = handle else { return .failure(Failure(description: "libcurl cannot be used")) }
      body = []
      curl_easy_reset(curl)
      // Signals would interrupt the loop's thread.
      hf_curl_set_number(curl, CURLOPT_NOSIGNAL, 1)
      hf_curl_set_text(curl, CURLOPT_URL, url)
      hf_curl_set_text(curl, CURLOPT_PROTOCOLS_STR, "http,https")
      // No proxy of the environment stands between.
      hf_curl_set_text(curl, CURLOPT_PROXY, "")
      hf_curl_set_number(curl, CURLOPT_TIMEOUT_MS, milliseconds)
      hf_curl_set_number(curl, CURLOPT_CONNECTTIMEOUT_MS, milliseconds)
      hf_curl_set_number(curl, CURLOPT_TCP_NODELAY, 1)
      hf_curl_set_headers(curl, headers)
      hf_curl_set_body(curl, text, text.utf8.count)
      if let authorities = trust.authorities { hf_curl_set_text(curl, CURLOPT_CAINFO, authorities) }
      if let certificate = trust.certificate { hf_curl_set_text(curl, CURLOPT_SSLCERT, certificate) }
      if let key = trust.key { hf_curl_set_text(curl, CURLOPT_SSLKEY, key) }
      hf_curl_set_writer(
        curl,
        { bytes, _, count, context in
          guard let context, let bytes else { return 0 }
          let worker = Unmanaged<Worker>.fromOpaque(context).takeUnretainedValue()
          guard worker.body.count + count <= Worker.limit else { return 0 }
          worker.body.append(contentsOf: UnsafeRawBufferPointer(start: bytes, count: count))
          return count
        }, Unmanaged.passUnretained(self).toOpaque())
      let code = curl_easy_perform(curl)
      guard code == CURLE_OK else {
        return .failure(Failure(description: String(cString: curl_easy_strerror(code)).lowercased()))
      }
      let status = hf_curl_status(curl)
      guard status == 200 else {
        let said = String(decoding: body.prefix(200), as: UTF8.self)
        return .failure(Failure(description: "HTTP status \(status): \(said)"))
      }
      return .success(body)
    }
  }
}
