internal import Glibc
internal import SystemCalls

/// Nanoseconds of the monotonic clock: for durations and deadlines. The same in all namespaces of a machine.
public func monotonicNow() -> UInt64 { MonotonicClock.now }

/// Nanoseconds since 1970: what a packet capture stamps its packets with.
public func wallClockNow() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_REALTIME, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// A point in time after which waiting is a failure.
public struct Deadline: Sendable {
  private let end: UInt64

  public static func seconds(_ seconds: Double) -> Deadline {
    Deadline(end: monotonicNow() + UInt64(max(0, seconds) * 1e9))
  }

  public var hasPassed: Bool { monotonicNow() >= end }

  /// What is left, for poll(2): milliseconds, rounded up, 0 when it has passed.
  public var remainingMilliseconds: Int32 {
    let now = monotonicNow()
    return now >= end ? 0 : Int32(min((end - now + 999_999) / 1_000_000, UInt64(Int32.max)))
  }
}

/// Waits until `condition` holds, asking every few milliseconds.
/// - Parameter what: completes "waited in vain for …".
public func wait(
  for what: @autoclosure () -> String, until deadline: Deadline, every milliseconds: UInt32 = 2,
  _ condition: () throws -> Bool
) throws {
  while true {
    if try condition() { return }
    if deadline.hasPassed { throw LabError("waited in vain for \(what())") }
    usleep(milliseconds * 1000)
  }
}
