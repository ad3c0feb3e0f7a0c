import Glibc
@testable import HostConfiguration
import Logging
import Testing

@testable import DaemonSupport
@testable import HoldfastDaemon

@Suite struct JournalTests {
  private func record(
    _ message: Logger.Message, level: Logger.Level = .notice, error: (any Error)? = nil,
    _ metadata: Logger.Metadata = [:],
    context: Logger.Metadata = [:]
  ) -> LogRecord {
    LogRecord(
      LogEvent(
        level: level, message: message, error: error, metadata: metadata, source: nil,
        file: "HoldfastDaemon/Pair.swift",
        function: "perform(_:)", line: 42), context: context)
  }

  @Test func aLineHoldsLevelMessageAndValuesInOrder() {
    let record = record(
      "takeover completed", ["reason": "all paths silent", "connections": "312"], context: ["pair": "web"])
    #expect(record.text == #"notice takeover completed connections=312 pair=web reason="all paths silent""#)
  }

  @Test func whatAPeerChoseCannotForgeASecondLineOrReachTheTerminal() {
    let text = record("a\nb", ["name": "x\n\"\\\u{1b}[31m", "empty": ""]).text
    #expect(text == #"notice a\nb empty="" name="x\n\"\\\u{1b}[31m""#)
  }

  @Test func theEventCountsMoreThanItsLogger() {
    #expect(record("m", ["pair": "own"], context: ["pair": "logger", "node": "n"]).text == "notice m node=n pair=own")
  }

  @Test func journalFieldsCarryPriorityPlaceAndOwnNames() {
    let fields = record("lost", level: .error, ["error": "no\nroute", "oldRole": "active"]).journalFields
    #expect(
      fields == [
        "MESSAGE=lost", "PRIORITY=3", "SYSLOG_IDENTIFIER=holdfastd", "CODE_FILE=HoldfastDaemon/Pair.swift",
        "CODE_LINE=42",
        "CODE_FUNC=perform(_:)", "HOLDFAST_ERROR=no\nroute", "HOLDFAST_OLD_ROLE=active",
      ])
  }

  @Test func anErrorOfTheEventBecomesAField() {
    struct Failure: Error, CustomStringConvertible { let description = "bind: in use" }
    #expect(record("m", error: Failure()).journalFields.contains("HOLDFAST_ERROR=bind: in use"))
  }

  @Test(arguments: [
    ("pair", "HOLDFAST_PAIR"), ("oldRole", "HOLDFAST_OLD_ROLE"), ("old-role", "HOLDFAST_OLD_ROLE"),
    ("a.b c", "HOLDFAST_A_B_C"), ("lostBytes2", "HOLDFAST_LOST_BYTES2"), ("URL", "HOLDFAST_URL"),
    (String(repeating: "x", count: 80), "HOLDFAST_" + String(repeating: "X", count: 55)),
  ])
  func keysBecomeNamesThatTheJournalAccepts(key: String, name: String) { #expect(LogRecord.fieldName(key) == name) }

  @Test(arguments: zip(Logger.Level.allCases, [7, 7, 6, 5, 4, 3, 2]))
  func levelsMapToSyslogsPriorities(level: Logger.Level, priority: Int) {
    #expect(record("m", level: level).priority == priority)
  }

  @Test func anEventsIdIsAFieldInTheJournalAndInvisibleInALine() throws {
    let (line, record) = try logged {
      $0.event(.takeoverStarted, level: .warning, "takeover", metadata: ["pair": "web"])
    }
    #expect(line == "warning takeover pair=web\n")
    #expect(record.journalFields.contains("MESSAGE_ID=27253abe72874c10b1b7ccb9fdf98508"))
  }

  @Test func eventIdsAreOneForEachKindAndWellFormed() {
    let ids = EventID.allCases.map(\.messageID)
    #expect(Set(ids).count == ids.count)
    for id in ids {
      #expect(id.utf8.count == 32 && id.allSatisfy { "0123456789abcdef".contains($0) }, "\(id)")
    }
  }

  @Test func belowItsLevelALoggerIsSilent() throws {
    let (line, _) = try logged {
      $0.info("quiet")
      $0.notice("loud")
    }
    #expect(line == "notice loud\n")
  }

  @Test func onlyTheStreamThatTheVariableNamesIsTheJournal() throws {
    var ends: [Int32] = [-1, -1]
    try #require(pipe(&ends) == 0)
    defer { for end in ends { close(end) } }
    var status = stat()
    try #require(fstat(ends[1], &status) == 0)
    #expect(LogOutput.isJournal(ends[1], variable: "\(status.st_dev):\(status.st_ino)"))
    #expect(!LogOutput.isJournal(ends[1], variable: "\(status.st_dev):\(status.st_ino + 1)"))
    #expect(!LogOutput.isJournal(ends[1], variable: nil))
    #expect(!LogOutput.isJournal(ends[1], variable: ""))
    #expect(!LogOutput.isJournal(ends[1], variable: "8:"))
    #expect(!LogOutput.isJournal(-1, variable: "0:0"))
  }

  /// What `body` logs through a handler at level notice, as lines, and its last event as a record.
  private func logged(_ body: (Logger) -> Void) throws -> (String, LogRecord) {
    var ends: [Int32] = [-1, -1]
    try #require(pipe(&ends) == 0)
    defer { for end in ends { close(end) } }
    let last = LastEvent()
    let handlers: [any LogHandler] = [DaemonLogHandler(level: .notice, output: .lines(ends[1])), last]
    body(Logger(label: "test") { _ in MultiplexLogHandler(handlers) })
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = bytes.withUnsafeMutableBytes { read(ends[0], $0.baseAddress, $0.count) }
    try #require(count > 0)
    return (String(decoding: bytes[..<count], as: UTF8.self), LogRecord(try #require(last.event), context: [:]))
  }

  private final class LastEvent: LogHandler, @unchecked Sendable {
    var logLevel = Logger.Level.notice
    var metadata: Logger.Metadata = [:]
    var event: LogEvent?
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }
    func log(event: LogEvent) { self.event = event }
  }
}
