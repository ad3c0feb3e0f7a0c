import Glibc
import Lab
import Testing

/// For what this machine's kernel lacks: tests that run again in a virtual machine with Debian's own kernel.
enum OtherKernel {
  private static let variable = "HOLDFAST_OTHER_KERNEL"

  /// Whether this process runs there.
  static var isThis: Bool { getenv(variable) != nil }

  /// Everything that runs there, as `swift test --filter` takes it: one run of the test bundle for each. The machine boots once for
  /// all, since its processor is emulated.
  private static let runs = [
    "SocketInspectionTests.anUpperLayerProtocol|PacketTableTests|TableOwnershipTests|TableWatchTests",
    "TableTrafficTests|TableVRFTests",
  ]
  private static let modules = [
    "tls", "vrf", "nft_queue", "nfnetlink_queue", "nf_tables", "veth", "nft_compat", "bridge", "br_netfilter",
  ]

  /// What the tests said there. Boots the machine the first time; Debian's kernel is fetched if it is not there.
  static func output() throws -> String { try result.get() }

  private static let result = Result { try boot() }

  private static func boot(sourceFile: String = #filePath) throws -> String {
    let bundle = try #require(
      try Files.read("/proc/self/maps").split(separator: "\n").first { $0.hasSuffix("PackageTests.xctest") }
        .flatMap { line in line.firstIndex(of: "/").map { String(line[$0...]) } })
    let tests = try #require(sourceFile.firstRange(of: "/LinuxNetworkTests/").map { sourceFile[..<$0.lowerBound] })
    let load = modules.map { "modprobe \($0) && " }.joined()
    let process = try LabProcess.start(
      "env",
      [
        "\(variable)=1", "HOLDFAST_KERNEL_SECONDS=2400", "\(tests)/Kernel/run", "sh", "-c",
        load + "for run; do \"$0\" --testing-library swift-testing --filter \"$run\" || exit; done", bundle,
      ] + runs, quiet: true)
    let status = try process.wait(until: .seconds(2460))
    let output = process.standardOutput + process.standardError
    guard status == 0 else { throw LabError("under another kernel: exit status \(status): \(output)") }
    return output
  }
}
