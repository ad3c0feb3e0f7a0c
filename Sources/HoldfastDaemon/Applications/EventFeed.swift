internal import ControlAPI
internal import LinuxNetwork
internal import SystemCalls

/// The kinds of events that `Monitor` reports; names are part of the interface.
enum EventKind: String, CaseIterable {
  case role
  case replication
  case registered
  case adopted
  case released
  case ended
  case lost
  case orphaned
  /// Whether clients can reach a host of the pair.
  case links
  /// Events that were left out because there were too many.
  case skipped
}

/// What happens, for those who monitor it. One who does not keep up is let go with an error that says so, and a storm of events is cut
/// short for all: nobody's reading costs the connections anything.
final class EventFeed {
  private var readers: [Reply<MonitorReply>] = []
  private var second: UInt64 = 0
  private var count = 0
  private var skipped = 0

  /// Events in a second; of those beyond the number is reported.
  static let rate = 2000
  /// Bytes that a reader may be behind.
  static let backlog = 1 << 20

  func subscribe(_ reply: Reply<MonitorReply>) { readers.append(reply) }

  func publish(
    _ kind: EventKind, pair: String?, connection: LiveConnection? = nil, _ message: @autoclosure () -> String
  ) {
    guard !readers.isEmpty else { return }
    let now = MonotonicClock.now / 1_000_000_000
    if now != second {
      second = now
      count = 0
      if skipped > 0 { send(EventInfo(kind: EventKind.skipped.rawValue, message: "\(skipped) events were left out")) }
      skipped = 0
    }
    count += 1
    // What concerns a pair as a whole is rare and never left out.
    guard count <= Self.rate || connection == nil else {
      skipped += 1
      return
    }
    send(EventInfo(kind: kind.rawValue, pair: pair, connection: connection?.name, message: message()))
  }

  private func send(_ event: EventInfo) {
    readers.removeAll { reader in
      if reader.isCancelled { return true }
      guard reader.client.unreadBytes <= Self.backlog else {
        reader.fail(.limitExceeded(limit: "\(Self.backlog) bytes of events that were not read: monitor again"))
        return true
      }
      return !reader.succeed(MonitorReply(event: event), continues: true)
    }
  }
}

extension Pair {
  /// Has what happens to the pair and its connections reported.
  func report(to events: EventFeed) {
    let name = name
    active.onEvent = { events.publish($0, pair: name, connection: $1, $2) }
    onEvent = { events.publish($0, pair: name, $1) }
  }
}
