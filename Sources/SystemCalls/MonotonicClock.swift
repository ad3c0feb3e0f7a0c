internal import Glibc

/// The one clock that the programs reason with.
package enum MonotonicClock {
  /// CLOCK_MONOTONIC in nanoseconds, read now. It never goes back and does not jump; it stands still while the host is
  /// suspended, as the packets do. It is the same in all namespaces of a machine.
  package static var now: UInt64 {
    var time = timespec()
    // It fails for an unknown clock or a bad pointer only (clock_gettime(2)); neither can be.
    _ = clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
  }
}
