internal import Glibc
internal import Holdfast
internal import Synchronization

/// The daemon, as far as it is there.
final class Protector: Sendable {
  private final class Slot: Sendable {
    let client = Mutex<HoldfastClient?>(nil)
  }

  private let path: String
  let service: String
  /// A registration waits for the standby; with several clients a burst of connections does not wait one after the other.
  private let slots = (0..<8).map { _ in Slot() }
  private let next = Atomic<Int>(0)
  private let complaint = Mutex<HoldfastError?>(nil)

  init(path: String, service: String) {
    self.path = path
    self.service = service
  }

  /// Registers a connection.
  /// - Parameter former: its registration until now, which ends.
  /// - Returns: its name; nil when it is served unprotected.
  func register(_ socket: Int32, key: String, replacing former: String?) -> String? {
    attempt { (client) throws(HoldfastError) in
      if let former { try Self.release(former, how: .keep, client) }
      do throws(HoldfastError) {
        return try client.register(socket, service: service, key: key).id
      } catch {
        // Left over from an instance of this program that died: its key is not what is sent now.
        guard case .refused(.alreadyRegistered(let id)) = error else { throw error }
        try Self.release(id, how: .keep, client)
        return try client.register(socket, service: service, key: key).id
      }
    }
  }

  /// Ends a registration, and what it says to end.
  /// - Returns: whether the daemon did it.
  @discardableResult
  func release(_ id: String, how: ReleaseMode) -> Bool {
    attempt { (client) throws(HoldfastError) in try Self.release(id, how: how, client) } != nil
  }

  /// One that has ended already, or that a new daemon does not know, needs no release.
  private static func release(_ id: String, how: ReleaseMode, _ client: HoldfastClient) throws(HoldfastError) {
    do throws(HoldfastError) {
      try client.release(id, how: how)
    } catch {
      guard case .refused(.noSuchConnection) = error else { throw error }
    }
  }

  func adopt() throws(HoldfastError) -> Adoption { try HoldfastClient(path: path).adopt(service: service) }

  /// Says once why connections are served unprotected, until that changes.
  func complain(_ error: HoldfastError) {
    let isNew = complaint.withLock { complaint in
      defer { complaint = error }
      return complaint != error
    }
    if isNew { log("serving unprotected: \(error)") }
  }

  /// The daemon is there (again).
  func recovered() { complaint.withLock { $0 = nil } }

  private func attempt<Value: Sendable>(_ body: (HoldfastClient) throws(HoldfastError) -> Value) -> Value? {
    let index = next.wrappingAdd(1, ordering: .relaxed).newValue
    let slot = slots[(index % slots.count + slots.count) % slots.count]
    do throws(HoldfastError) {
      let client = try slot.client.withLock { (client) throws(HoldfastError) -> HoldfastClient in
        if let client { return client }
        let current = try HoldfastClient(path: path)
        client = current
        return current
      }
      return try body(client)
    } catch {
      complain(error)
      return nil
    }
  }
}
