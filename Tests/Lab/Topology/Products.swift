internal import Glibc

/// The programs that were built together with this one.
public enum Products {
  /// The path of a built program: in the folder of the running program or test bundle, or in `HOLDFAST_PRODUCTS`.
  public static func path(of name: String) throws -> String {
    let folders = [getenv("HOLDFAST_PRODUCTS").map { String(cString: $0) }, ownFolder, bundleFolder].compactMap { $0 }
    for folder in folders where access("\(folder)/\(name)", X_OK) == 0 { return "\(folder)/\(name)" }
    throw LabError("\(name) is not in \(folders.joined(separator: " or ")): build it first (make build)")
  }

  private static var ownFolder: String? { Files.target(ofLink: "/proc/self/exe").flatMap(folder) }

  /// Tests are loaded by a program of the toolchain: the bundle is among what is mapped.
  private static var bundleFolder: String? {
    guard let maps = try? Files.read("/proc/self/maps") else { return nil }
    return maps.split(separator: "\n").first { $0.hasSuffix("PackageTests.xctest") }
      .flatMap { line in line.firstIndex(of: "/").map { String(line[$0...]) } }.flatMap(folder)
  }

  private static func folder(of path: String) -> String? { path.lastIndex(of: "/").map { String(path[..<$0]) } }
}
