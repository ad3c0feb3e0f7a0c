import Glibc
import LinuxNetwork
import SystemCalls
import SystemPackage
import Testing

@testable import HoldfastDaemon

/// A pipe whose ends close with the value.
private final class Pipe {
  let reading: Int32
  let writing: Int32

  init() throws {
    var ends: [Int32] = [-1, -1]
    try #require(pipe(&ends) == 0)
    (reading, writing) = (ends[0], ends[1])
  }

  deinit {
    close(reading)
    close(writing)
  }

  func put(_ count: Int = 1) {
    _ = [UInt8](repeating: 1, count: count).withUnsafeBytes { write(writing, $0.baseAddress, $0.count) }
  }
  func take() -> Int {
    var bytes = [UInt8](repeating: 0, count: 4096)
    return bytes.withUnsafeMutableBytes { read(reading, $0.baseAddress, $0.count) }
  }
}

/// So that a loop that misses its event fails a test instead of hanging it.
private func guarded(_ loop: EventLoop) throws -> Timer {
  let timer = try loop.addTimer(description: "test deadline") { loop.exit(99) }
  timer.set(at: MonotonicClock.now + 20_000_000_000)
  return timer
}

@Suite struct EventLoopTests {
  @Test func readinessReachesTheHandlerAndExitGivesTheCode() throws {
    try onOwnThread {
      let loop = try EventLoop()
      let deadline = try guarded(loop)
      let pipe = try Pipe()
      var taken = 0
      let source = try loop.addIO(pipe.reading, .readable, description: "pipe") { events in
        #expect(events.contains(.readable))
        taken += pipe.take()
        loop.exit(7)
        loop.exit(8)
      }
      pipe.put(3)
      #expect(try loop.run() == 7)
      #expect(taken == 3)
      withExtendedLifetime((source, deadline)) {}
    }
  }

  @Test func aHandlerMayCancelItsOwnSourceAndDropIt() throws {
    try onOwnThread {
      let loop = try EventLoop()
      let deadline = try guarded(loop)
      let pipe = try Pipe()
      var source: IOSource?
      var calls = 0
      weak var watch: IOSource?
      source = try loop.addIO(pipe.reading, .readable, description: "pipe") { _ in
        calls += 1
        source?.cancel()
        source = nil
      }
      watch = source
      pipe.put()
      #expect(try loop.turn(timeout: 0))
      #expect(calls == 1)
      #expect(watch == nil)
      #expect(try !loop.turn(timeout: 0), "the pipe is still readable, but nobody listens")
      // The descriptor is free to be watched again.
      let again = try loop.addIO(pipe.reading, .readable, description: "pipe") { _ in loop.exit(1) }
      #expect(try loop.run() == 1)
      withExtendedLifetime((again, deadline)) {}
    }
  }

  @Test func aSourceStopsWithItsLastReference() throws {
    try onOwnThread {
      let loop = try EventLoop()
      let pipe = try Pipe()
      do {
        let source = try loop.addIO(pipe.reading, .readable, description: "pipe") { _ in Issue.record("called") }
        withExtendedLifetime(source) {}
      }
      pipe.put()
      #expect(try !loop.turn(timeout: 0))
    }
  }

  @Test func eventsCanBeChangedAndPaused() throws {
    try onOwnThread {
      let loop = try EventLoop()
      let pipe = try Pipe()
      var seen: [IOEvents] = []
      let source = try loop.addIO(pipe.writing, [], description: "pipe") { seen.append($0) }
      #expect(try !loop.turn(timeout: 0))
      source.setEvents(.writable)
      #expect(try loop.turn(timeout: 0))
      source.setEnabled(false)
      #expect(try !loop.turn(timeout: 0))
      source.setEnabled(true)
      #expect(try loop.turn(timeout: 0))
      #expect(seen == [.writable, .writable])
    }
  }

  @Test func aFileThatCannotBePolledIsRefused() throws {
    try onOwnThread {
      let loop = try EventLoop()
      let file = open("/proc/self/status", O_RDONLY | O_CLOEXEC)
      let regular = open("/usr/lib/os-release", O_RDONLY | O_CLOEXEC)
      defer {
        close(file)
        close(regular)
      }
      #expect(throws: SystemCallError("sd_event_add_io", on: "regular file", errno: .notPermitted)) {
        _ = try loop.addIO(regular, .readable, description: "regular file") { _ in }
      }
    }
  }

  @Test func timersFireInOrderAndNeverEarly() throws {
    try onOwnThread {
      let loop = try EventLoop()
      var fired: [Int] = []
      let start = MonotonicClock.now
      let deadlines = [3_000_001, 1_000_999, 2_000_500].map { start + UInt64($0) }
      let timers = try deadlines.enumerated().map { index, deadline in
        try loop.addTimer(description: "timer \(index)") {
          #expect(MonotonicClock.now >= deadline)
          #expect(loop.time >= deadline)
          #expect(loop.time <= MonotonicClock.now)
          fired.append(index)
          if fired.count == 3 { loop.exit(0) }
        }
      }
      for (timer, deadline) in zip(timers, deadlines) { timer.set(at: deadline) }
      #expect(try loop.run() == 0)
      #expect(fired == [1, 2, 0])
      #expect(timers.allSatisfy { $0.deadline == nil })
    }
  }

  @Test func aTimerThatIsSetAgainFiresOnceAtItsLastDeadline() throws {
    try onOwnThread {
      let loop = try EventLoop()
      let start = MonotonicClock.now
      var fired: [UInt64] = []
      let timer = try loop.addTimer(description: "moved") { fired.append(MonotonicClock.now) }
      let last = try loop.addTimer(priority: 10, description: "end") { loop.exit(0) }
      timer.set(at: start + 1_000_000)
      timer.set(at: start + 9_000_000)  // later: nothing is told to the kernel
      timer.set(at: start + 4_000_000)  // earlier than that, later than the first
      last.set(at: start + 12_000_000)
      #expect(try loop.run() == 0)
      #expect(fired.count == 1)
      #expect(fired.allSatisfy { $0 >= start + 4_000_000 })
    }
  }

  @Test func aDisarmedTimerDoesNotFireAndCanBeSetAgain() throws {
    try onOwnThread {
      let loop = try EventLoop()
      let start = MonotonicClock.now
      var fired = 0
      let timer = try loop.addTimer(description: "disarmed") { fired += 1 }
      timer.set(at: start + 1_000_000)
      timer.disarm()
      let check = try loop.addTimer(description: "check") {
        #expect(fired == 0)
        timer.set(at: 0)  // long past: at once
      }
      check.set(at: start + 3_000_000)
      let last = try loop.addTimer(priority: 10, description: "end") { loop.exit(0) }
      last.set(at: start + 5_000_000)
      #expect(try loop.run() == 0)
      #expect(fired == 1)
    }
  }

  @Test func aTimerMaySetItselfAgain() throws {
    try onOwnThread {
      let loop = try EventLoop()
      var fired = 0
      var timer: Timer?
      timer = try loop.addTimer(description: "periodic") {
        fired += 1
        if fired == 5 { loop.exit(0) } else { timer?.set(at: MonotonicClock.now + 100_000) }
      }
      timer?.set(at: MonotonicClock.now)
      #expect(try loop.run() == 0)
      #expect(fired == 5)
      timer = nil
    }
  }

  @Test func deferredWorkGathersWhatMoreUrgentSourcesBring() throws {
    try onOwnThread {
      let loop = try EventLoop()
      let deadline = try guarded(loop)
      let pipes = try (0..<3).map { _ in try Pipe() }
      var log: [String] = []
      let work = try loop.addDeferred(priority: 5, description: "batch") {
        log.append("batch")
        loop.exit(0)
      }
      let sources = try pipes.enumerated().map { index, pipe in
        try loop.addIO(pipe.reading, .readable, priority: index, description: "pipe") { _ in
          _ = pipe.take()
          log.append("\(index)")
          work.schedule()
          work.schedule()
        }
      }
      for pipe in pipes { pipe.put() }
      #expect(try loop.run() == 0)
      #expect(log == ["0", "1", "2", "batch"])
      withExtendedLifetime((sources, deadline)) {}
    }
  }

  @Test func deferredWorkThatAsksAgainRunsAgain() throws {
    try onOwnThread {
      let loop = try EventLoop()
      var runs = 0
      var work: Deferred?
      work = try loop.addDeferred(description: "again") {
        runs += 1
        if runs < 3 { work?.schedule() }
      }
      #expect(try !loop.turn(timeout: 0))
      work?.schedule()
      while try loop.turn(timeout: 0) {}
      #expect(runs == 3)
      work = nil
    }
  }

  @Test func aSignalIsTakenInTheLoopsTurn() throws {
    try onOwnThread {
      let loop = try EventLoop()
      let deadline = try guarded(loop)
      let source = try loop.addSignal(SIGUSR1) { loop.exit(10) }
      pthread_kill(pthread_self(), SIGUSR1)
      #expect(try loop.run() == 10)
      withExtendedLifetime((source, deadline)) {}
    }
  }

  @Test func aSourceThatCannotBeArmedEndsTheLoopWithItsError() throws {
    try onOwnThread {
      let loop = try EventLoop()
      let pipe = try Pipe()
      let timer = try loop.addTimer(description: "closes the descriptor behind the loop's back") {}
      let copy = dup(pipe.writing)
      let source = try loop.addIO(copy, [], description: "pipe") { _ in }
      close(copy)
      source.setEvents(.writable)
      #expect(throws: SystemCallError.self) { _ = try loop.run() }
      withExtendedLifetime((source, timer)) {}
    }
  }

  @Test func changesAfterTheEndAreHarmless() throws {
    try onOwnThread {
      let loop = try EventLoop()
      let pipe = try Pipe()
      let source = try loop.addIO(pipe.writing, [], description: "pipe") { _ in }
      let timer = try loop.addTimer(description: "timer") {}
      let work = try loop.addDeferred(description: "work") { loop.exit(4) }
      work.schedule()
      #expect(try loop.run() == 4)
      source.setEvents(.writable)
      timer.set(at: 0)
      work.schedule()
      source.cancel()
      source.cancel()
      timer.cancel()
      timer.set(at: 1)
    }
  }

  @Test func noWatchdogUnlessTheServiceManagerAsks() throws {
    try onOwnThread {
      let loop = try EventLoop()
      #expect(try !loop.enableWatchdog())
    }
  }
}
