import Glibc
import Lab
import Testing

/// For what this machine's kernel lacks: a test that runs again in a virtual machine with Debian's own kernel.
enum OtherKernel {
  private static let variable = "HOLDFAST_OTHER_KERNEL"

  /// Whether this process runs there.
  static var isThis: Bool { getenv(variable) != nil }

  /// - Parameters:
  ///   - test: as `swift test --filter` takes it.
  ///   - modules: of the kernel, to be loaded before.
  /// - Returns: what the tests said; an error when one of them failed there.
  static func run(test: String, modules: [String] = [], sourceFile: String = #filePath) throws -> String {
    let bundle = try #require(
      try Files.read("/proc/self/maps").split(separator: "\n").first { $0.hasSuffix("PackageTests.xctest") }
        .flatMap { line in line.firstIndex(of: "/").map { String(line[$0...]) } })
    let tests = try #require(sourceFile.firstRange(of: "/LinuxNetworkTests/").map { sourceFile[..<$0.lowerBound] })
    let load = modules.map { "modprobe \($0) && " }.joined()
    let process = try LabProcess.start(
      "env",
      [
        "\(variable)=1", "\(tests)/Kernel/run", "sh", "-c",
        load + "exec \"$0\" --testing-library swift-testing --filter \"$1\"",
        bundle, test,
      ], quiet: true)
    // Debian's kernel is fetched the first time, and the processor is emulated.
    let status = try process.wait(until: .seconds(600))
    let output = process.standardOutput + process.standardError
    guard status == 0 else { throw LabError("\(test) under another kernel: exit status \(status): \(output)") }
    return output
  }
}
