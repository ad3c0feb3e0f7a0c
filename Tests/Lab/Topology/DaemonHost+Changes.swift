/// What an operator does to a host.
extension DaemonHost {
  /// Edits the configuration, which is in force from the next start on.
  public func edit(replacing old: String, with new: String) throws {
    let text = try Files.read(configurationPath)
    guard let place = text.firstRange(of: old) else { throw LabError("\(name)'s configuration has no \(old)") }
    try Files.write(text.replacingCharacters(in: place, with: new), to: configurationPath)
  }

  /// Stops the daemon in order and starts it again.
  public func restart() throws {
    process?.stop()
    try start()
  }
}

extension String {
  fileprivate func replacingCharacters(in range: Range<Index>, with text: String) -> String {
    self[..<range.lowerBound] + text + self[range.upperBound...]
  }
}
