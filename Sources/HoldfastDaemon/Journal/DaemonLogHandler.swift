public import Logging

/// swift-log's way into the journal, or onto standard error.
public struct DaemonLogHandler: LogHandler {
  public var logLevel: Logger.Level
  public var metadata: Logger.Metadata = [:]
  public var metadataProvider: Logger.MetadataProvider?
  private let output: LogOutput

  /// Logs to the journal when standard error is connected to it ($JOURNAL_STREAM), else as lines on standard error.
  public init(level: Logger.Level = .info) { self.init(level: level, output: .standard) }

  init(level: Logger.Level, output: LogOutput) {
    logLevel = level
    self.output = output
  }

  public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  public func log(event: LogEvent) {
    output.write(LogRecord(event, context: metadata, provided: metadataProvider?.get() ?? [:]))
  }
}

extension Logger {
  /// The daemon's own logger.
  public static func daemon(level: Logger.Level = .info) -> Logger {
    Logger(label: "holdfastd") { _ in DaemonLogHandler(level: level) }
  }
}
