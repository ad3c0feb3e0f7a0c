package import TOMLKit

/// A table of the file with the way to it, so that whatever is wrong inside can be named.
package struct TableReader {
  private let table: TOMLTable
  private let file: String
  private let path: String

  /// Throws for a key that is not among `known`: a misspelt key must not silently leave its default in force.
  package init(_ table: TOMLTable, file: String, path: String = "", known: [String]) throws(ConfigurationError) {
    self.table = table
    self.file = file
    self.path = path
    for key in table.keys where !known.contains(key) {
      throw error(key, .unknownKey(nearest: EditDistance.nearest(to: key, among: known)))
    }
  }

  package func error(_ key: String, _ problem: ConfigurationError.Problem) -> ConfigurationError {
    let dotted = [path, key].filter { !$0.isEmpty }.joined(separator: ".")
    return ConfigurationError(file: file, key: dotted, problem: problem)
  }

  /// Whether it stands in the file at all.
  package func has(_ key: String) -> Bool { table[key] != nil }

  // MARK: Values

  package func string(_ key: String, expected: String) throws(ConfigurationError) -> String? {
    guard let value = table[key] else { return nil }
    return try string(value, at: key, expected: expected)
  }

  package func strings(_ key: String, expected: String) throws(ConfigurationError) -> [(text: String, key: String)] {
    let array = try array(key, expected: expected)
    var strings: [(text: String, key: String)] = []
    for index in array.indices {
      let place = "\(key)[\(index)]"
      strings.append((try string(array[index], at: place, expected: expected), place))
    }
    return strings
  }

  /// One string, or an array of them; empty when it is not there.
  package func stringOrStrings(
    _ key: String, expected: String
  ) throws(ConfigurationError) -> [(text: String, key: String)] {
    guard let value = table[key] else { return [] }
    guard value.type == .array else { return [(try string(value, at: key, expected: expected), key)] }
    return try strings(key, expected: expected)
  }

  package func integer(_ key: String, _ range: ClosedRange<Int>, expected: String) throws(ConfigurationError) -> Int? {
    guard let value = table[key] else { return nil }
    guard value.type == .int, let number = value.int else { throw wrongType(value, at: key, expected: expected) }
    guard range.contains(number) else { throw error(key, .badValue(expected: expected, found: "\(number)")) }
    return number
  }

  package func flag(_ key: String) throws(ConfigurationError) -> Bool? {
    guard let value = table[key] else { return nil }
    guard value.type == .bool, let flag = value.bool else { throw wrongType(value, at: key, expected: "true or false") }
    return flag
  }

  // MARK: Tables

  package func table(_ key: String, known: [String]) throws(ConfigurationError) -> TableReader? {
    guard let value = table[key] else { return nil }
    return try reader(value, at: key, known: known)
  }

  /// An array of tables (`[[key]]`, or `key = [ { … } ]`); empty when it is not there.
  package func tables(_ key: String, known: [String]) throws(ConfigurationError) -> [TableReader] {
    let array = try array(key, expected: "an array of tables")
    var readers: [TableReader] = []
    for index in array.indices { readers.append(try reader(array[index], at: "\(key)[\(index)]", known: known)) }
    return readers
  }

  private func reader(_ value: any TOMLValueConvertible, at key: String, known: [String]) throws(ConfigurationError)
    -> TableReader
  {
    guard let inner = value.table else { throw wrongType(value, at: key, expected: "a table") }
    return try TableReader(inner, file: file, path: error(key, .notText).key, known: known)
  }

  private func array(_ key: String, expected: String) throws(ConfigurationError) -> [any TOMLValueConvertible] {
    guard let value = table[key] else { return [] }
    guard let array = value.array else { throw wrongType(value, at: key, expected: expected) }
    return Array(array)
  }

  private func string(_ value: any TOMLValueConvertible, at key: String, expected: String) throws(ConfigurationError)
    -> String
  {
    guard value.type == .string, let text = value.string else { throw wrongType(value, at: key, expected: expected) }
    return text
  }

  private func wrongType(_ value: any TOMLValueConvertible, at key: String, expected: String) -> ConfigurationError {
    let found =
      switch value.type {
      case .int: "the integer \(value.int ?? 0)"
      case .double: "the number \(value.double ?? 0)"
      case .bool: "the boolean \(value.bool ?? false)"
      case .string: "the string \"\(value.string ?? "")\""
      case .array: "an array"
      case .table: "a table"
      case .date, .time, .dateTime: "a date or time"
      }
    return error(key, .wrongType(expected: expected, found: found))
  }
}
