internal import Glibc
internal import Synchronization

/// A small Debian system with Holdfast installed in it as `make install` does, from which booted hosts run (`BootedHost`).
///
/// It is made once, by debootstrap(8), and kept beside the build products; Holdfast is installed anew for each process.
public struct BootedTree: Sendable {
  public let path: String
  /// Where the Swift libraries are that the programs were linked with; their path is the same inside.
  let swiftLibraries: String
  /// The folder with the laboratory's own programs.
  let products: String

  private static let packages = [
    "systemd", "systemd-sysv", "dbus", "iproute2", "libnl-3-200", "libnl-route-3-200", "libnftnl11", "libmnl0",
    "libssl3",
    "libcurl4",
    "libstdc++6",
  ]
  private static let made = Mutex<BootedTree?>(nil)

  public static func get() throws -> BootedTree {
    try made.withLock { made in
      if let made { return made }
      let tree = try BootedTree()
      made = tree
      return tree
    }
  }

  private init() throws {
    guard getuid() == 0 else { throw LabError("booted hosts need root: run this as root (sudo make test)") }
    let daemon = try Products.path(of: "holdfastd")
    products = String(daemon[..<(daemon.lastIndex(of: "/") ?? daemon.startIndex)])
    let build = String(products[..<(products.lastIndex(of: "/") ?? products.startIndex)])
    path = "\(build)/booted-tree"
    swiftLibraries = try BootedTree.swiftLibraries(of: daemon)
    try makeIfMissing()
    try install(configuration: String(products[build.endIndex...].dropFirst()))
  }

  private static func swiftLibraries(of program: String) throws -> String {
    let said = try Tool.run("ldd", [program])
    guard let line = said.split(separator: "\n").first(where: { $0.contains("libswiftCore.so") }),
      let library = line.split(separator: " ").first(where: { $0.hasPrefix("/") }), let end = library.lastIndex(of: "/")
    else { throw LabError("\(program) is not linked with libswiftCore.so: \(said)") }
    return String(library[..<end])
  }

  private func makeIfMissing() throws {
    let marker = "\(path)/holdfast-tree"
    let content = BootedTree.packages.joined(separator: " ") + "\n"
    if (try? Files.read(marker)) == content { return }
    let (suite, mirror) = try BootedTree.release()
    let fresh = "\(path).\(getpid())"
    defer { _ = try? Tool.run("rm", ["-rf", "--one-file-system", fresh]) }
    do {
      let process = try LabProcess.start(
        "debootstrap",
        ["--variant=minbase", "--include=\(BootedTree.packages.joined(separator: ","))", suite, fresh, mirror])
      let status = try process.wait(until: .seconds(600))
      guard status == 0 else { throw LabError("exit status \(status): \(process.standardOutput.suffix(2000))") }
    } catch {
      throw LabError("cannot make a Debian tree for booted hosts (debootstrap \(suite) from \(mirror)): \(error)")
    }
    try Files.write(content, to: "\(fresh)/holdfast-tree")
    try Tool.run("rm", ["-rf", "--one-file-system", path])
    try Tool.run("mv", [fresh, path])
  }

  /// This host's own release, so that the programs find the libraries that they were linked with.
  private static func release() throws -> (suite: String, mirror: String) {
    let text = try Files.read("/etc/os-release")
    func value(_ key: String) -> String? {
      text.split(separator: "\n").first { $0.hasPrefix("\(key)=") }
        .map { String($0.dropFirst(key.count + 1)).filter { $0 != "\"" } }
    }
    guard let suite = value("VERSION_CODENAME"), let system = value("ID") else {
      throw LabError("/etc/os-release does not say which release this is")
    }
    return (suite, system == "ubuntu" ? "http://archive.ubuntu.com/ubuntu" : "http://deb.debian.org/debian")
  }

  /// What `make install` does, but for building.
  private func install(configuration: String) throws {
    let sources = "/" + #filePath.split(separator: "/").dropLast(4).joined(separator: "/")
    try Tool.run(
      "make", ["-C", sources, "-o", "build", "install", "DESTDIR=\(path)", "CONFIGURATION=\(configuration)"])
  }
}
