public import SystemPackage

/// Why a configuration cannot be used: in which file, at which key, what was expected there and what was found.
public struct ConfigurationError: Error, Equatable, Sendable {
  public enum Problem: Equatable, Sendable {
    case unreadable(Errno)
    case notText
    case tooLong(limit: Int)
    /// Line and column count from 1.
    case syntax(line: Int, column: Int, reason: String)
    case unknownKey(nearest: String?)
    case missing(expected: String)
    case wrongType(expected: String, found: String)
    case badValue(expected: String, found: String)
    /// Each value alone is good; together they are not.
    case conflict(String)
  }

  public let file: String
  /// `pair[1].heartbeat.interval`, counted from 0; empty when the file as a whole is meant.
  public let key: String
  public let problem: Problem

  public init(file: String, key: String = "", problem: Problem) {
    self.file = file
    self.key = key
    self.problem = problem
  }
}

extension ConfigurationError: CustomStringConvertible {
  public var description: String {
    if case .syntax(let line, let column, let reason) = problem { return "\(file):\(line):\(column): \(reason)" }
    return ([file] + (key.isEmpty ? [] : [key]) + ["\(problem)"]).joined(separator: ": ")
  }
}

extension ConfigurationError.Problem: CustomStringConvertible {
  public var description: String {
    switch self {
    case .unreadable(let errno): "cannot be read: \(errno)"
    case .notText: "is not UTF-8 text"
    case .tooLong(let limit): "is longer than \(limit) bytes"
    case .syntax(let line, let column, let reason): "line \(line), column \(column): \(reason)"
    case .unknownKey(let nearest?): "unknown key; did you mean \"\(nearest)\"?"
    case .unknownKey(nil): "unknown key"
    case .missing(let expected): "is missing; expected \(expected)"
    case .wrongType(let expected, let found), .badValue(let expected, let found): "expected \(expected), found \(found)"
    case .conflict(let text): text
    }
  }
}
