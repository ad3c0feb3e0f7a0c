public import Logging

/// swift-log's way into the journal, or onto standard error.
public struct DaemonLogHandler: LogHandler {
  public var logLevel: Logger.Level
  public var metadata: Logger.Metadata = [:]
  public var metadataProvider: Logger.MetadataProvider?
  private let output: LogOutput
  private let identifier: String

  /// Logs to the journal when standard error is connected to it ($JOURNAL_STREAM), else as lines on standard error.
  /// - Parameter identifier: the program's name in the journal.
  public init(level: Logger.Level = .info, identifier: String = "holdfastd") {
    self.init(level: level, output: .standard, identifier: identifier)
  }

  package init(level: Logger.Level, output: LogOutput, identifier: String = "holdfastd") {
    logLevel = level
    self.output = output
    self.identifier = identifier
  }

  public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  public func log(event: LogEvent) {
    output.write(LogRecord(event, context: metadata, provided: metadataProvider?.get() ?? [:], identifier: identifier))
  }
}
