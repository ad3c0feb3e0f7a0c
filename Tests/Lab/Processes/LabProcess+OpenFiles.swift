extension LabProcess {
  /// Lets the process open `count` descriptors more, and then none (the soft limit RLIMIT_NOFILE). Other than a full table, a limit
  /// below what is open takes nothing away.
  public func limitOpenFiles(toAnother count: Int) throws {
    let open = Set(Files.list("/proc/\(pid)/fd").compactMap { Int($0) })
    // The kernel hands out the lowest number that is free, and none from the limit on.
    var limit = 0
    var left = count
    while open.contains(limit) || left > 0 {
      if !open.contains(limit) { left -= 1 }
      limit += 1
    }
    try Tool.run("prlimit", "--pid", "\(pid)", "--nofile=\(limit):")
  }

  /// As many as the hard limit lets it.
  public func liftOpenFilesLimit() throws {
    let line = try Files.read("/proc/\(pid)/limits").split(separator: "\n").first { $0.hasPrefix("Max open files") }
    guard let hard = line?.split(separator: " ").dropFirst(4).first else { throw LabError("no limit of open files") }
    try Tool.run("prlimit", "--pid", "\(pid)", "--nofile=\(hard):")
  }
}
