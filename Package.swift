// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .treatAllWarnings(as: .error),
]

let package = Package(
  name: "holdfast",
  products: [
    .library(name: "Holdfast", targets: ["Holdfast"]),
    .executable(name: "holdfastd", targets: ["holdfastd"]),
    .executable(name: "holdfastctl", targets: ["holdfastctl"]),
    .executable(name: "holdfast-proxy", targets: ["holdfast-proxy"]),
    .executable(name: "holdfast-file-server", targets: ["holdfast-file-server"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
  ],
  targets: [
    // C: constants, ioctls and structs that Swift cannot import, and the system libraries.
    .target(name: "CLinux"),
    .systemLibrary(name: "CSystemd", pkgConfig: "libsystemd", providers: [.apt(["libsystemd-dev"])]),
    .systemLibrary(
      name: "CNetlink", pkgConfig: "libnl-route-3.0",
      providers: [.apt(["libnl-3-dev", "libnl-route-3-dev"])]),
    .systemLibrary(
      name: "CNetfilter", pkgConfig: "libnftnl", providers: [.apt(["libnftnl-dev", "libmnl-dev"])]),
    .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
    .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),

    // Pure: no IO, no clock, no logging (Tests/HouseTests keeps it so).
    .target(name: "TCPModel", swiftSettings: strict),
    .target(name: "Replication", dependencies: ["TCPModel"], swiftSettings: strict),
    .target(name: "Pairing", swiftSettings: strict),
    // One host of one pair, put together of the three: the daemon and the simulation run it.
    .target(name: "HostCore", dependencies: ["TCPModel", "Replication", "Pairing"], swiftSettings: strict),

    // The kernel: first what any program needs of it (calls and their errors, descriptors, unix sockets, threads).
    .target(
      name: "SystemCalls", dependencies: ["CLinux", .product(name: "SystemPackage", package: "swift-system")],
      swiftSettings: strict),
    .target(
      name: "LinuxNetwork",
      dependencies: [
        "CLinux", "SystemCalls", "CNetfilter", "CNetlink", "TCPModel",
        .product(name: "SystemPackage", package: "swift-system"),
      ], swiftSettings: strict),

    // Who the peer is, and that nobody else is.
    .target(
      name: "TLSTransport",
      dependencies: [
        "COpenSSL", "LinuxNetwork", "SystemCalls", .product(name: "SystemPackage", package: "swift-system"),
      ],
      swiftSettings: strict),

    // The control socket, the library for applications, the daemon.
    .target(
      name: "ControlAPI", dependencies: ["SystemCalls", .product(name: "SystemPackage", package: "swift-system")],
      swiftSettings: strict),
    .target(
      name: "Holdfast",
      dependencies: [
        "CLinux", "ControlAPI", "SystemCalls", .product(name: "SystemPackage", package: "swift-system"),
      ], swiftSettings: strict),
    // What daemons share: configuration files, the journal, the service manager.
    .target(
      name: "DaemonSupport",
      dependencies: [
        "CSystemd", "TCPModel", "LinuxNetwork", "SystemCalls", .product(name: "Logging", package: "swift-log"),
        .product(name: "TOMLKit", package: "TOMLKit"),
        .product(name: "SystemPackage", package: "swift-system"),
      ], swiftSettings: strict),
    // What a host has been told and has written down: with it a host can be fenced while no daemon runs.
    .target(
      name: "HostConfiguration",
      dependencies: [
        "CLinux", "TCPModel", "SystemCalls", "LinuxNetwork", "TLSTransport", "ControlAPI", "DaemonSupport",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "SystemPackage", package: "swift-system"),
      ], swiftSettings: strict),
    .target(
      name: "HoldfastDaemon",
      dependencies: [
        "CCurl", "CLinux", "CSystemd", "TCPModel", "Replication", "Pairing", "HostCore", "SystemCalls", "LinuxNetwork",
        "TLSTransport", "ControlAPI", "DaemonSupport", "HostConfiguration",
        .product(name: "DequeModule", package: "swift-collections"),
        .product(name: "HeapModule", package: "swift-collections"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "SystemPackage", package: "swift-system"),
      ], swiftSettings: strict),

    .target(
      name: "HoldfastProxy",
      dependencies: [
        "CLinux", "TCPModel", "SystemCalls", "LinuxNetwork", "ControlAPI", "Holdfast", "DaemonSupport",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "SystemPackage", package: "swift-system"),
      ], swiftSettings: strict),

    // Thin mains.
    .executableTarget(
      name: "holdfastd",
      dependencies: [
        "HoldfastDaemon", "ControlAPI", .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ], swiftSettings: strict),
    .executableTarget(
      name: "holdfastctl",
      dependencies: [
        "Holdfast", "ControlAPI", "SystemCalls", "TLSTransport", "DaemonSupport", "HostConfiguration",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "SystemPackage", package: "swift-system"),
      ], swiftSettings: strict),
    .executableTarget(
      name: "holdfast-proxy",
      dependencies: [
        "HoldfastProxy", "ControlAPI", .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
      ], swiftSettings: strict),
    .executableTarget(
      name: "holdfast-file-server",
      dependencies: [
        "Holdfast", "SystemCalls",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "SystemPackage", package: "swift-system"),
      ], path: "Examples/file-server", swiftSettings: strict),

    // Tests. Lab builds hosts out of network namespaces; the demo and the benchmark stand on it too.
    .target(
      name: "Lab",
      dependencies: [
        "TCPModel", "SystemCalls", "LinuxNetwork", "ControlAPI", "Holdfast", "CLinux",
        .product(name: "SystemPackage", package: "swift-system"),
      ], path: "Tests/Lab", swiftSettings: strict),
    .executableTarget(
      name: "pattern-server",
      dependencies: [
        "Lab", "SystemCalls", "LinuxNetwork", "TCPModel",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], path: "Tests/PatternServer", swiftSettings: strict),
    .executableTarget(
      name: "holdfast-lab",
      dependencies: [
        "Lab", "SystemCalls", "LinuxNetwork", "TCPModel",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], path: "Tests/LabCommand", swiftSettings: strict),
    // What the benchmark compares with: a gate without anything that makes it useful.
    .executableTarget(name: "reference-gate", path: "Tests/ReferenceGate"),
    // Modelling plays the kernels of both ends for the tests of the pure targets.
    .target(name: "Modelling", dependencies: ["TCPModel"], path: "Tests/Modelling", swiftSettings: strict),
    // Two hosts' pure cores in virtual time (docs/simulation.md).
    .target(
      name: "Simulation", dependencies: ["TCPModel", "Replication", "Pairing", "HostCore", "Modelling"],
      path: "Tests/Simulation", swiftSettings: strict),
    .executableTarget(
      name: "holdfast-simulate",
      dependencies: ["Simulation", .product(name: "ArgumentParser", package: "swift-argument-parser")],
      path: "Tests/SimulateCommand", swiftSettings: strict),
    .testTarget(name: "SimulationTests", dependencies: ["Simulation"], swiftSettings: strict),
    // The protocol as a model for spin(1) (docs/fencing.md).
    .testTarget(name: "FencingModelTests", dependencies: ["Lab"], swiftSettings: strict),
    .testTarget(name: "TCPModelTests", dependencies: ["TCPModel", "Modelling"], swiftSettings: strict),
    .testTarget(
      name: "ReplicationTests", dependencies: ["Replication", "TCPModel", "Modelling"], swiftSettings: strict),
    .testTarget(name: "PairingTests", dependencies: ["Pairing"], exclude: ["Scenarios"], swiftSettings: strict),
    .testTarget(
      name: "HostCoreTests", dependencies: ["HostCore", "Pairing", "Replication", "TCPModel", "Modelling"],
      swiftSettings: strict),
    .testTarget(
      name: "LinuxNetworkTests",
      dependencies: [
        "SystemCalls", "LinuxNetwork", "Lab", "TCPModel", "CLinux",
        .product(name: "SystemPackage", package: "swift-system"),
      ], swiftSettings: strict),
    .testTarget(
      name: "TLSTransportTests",
      dependencies: [
        "TLSTransport", "SystemCalls", "LinuxNetwork", .product(name: "SystemPackage", package: "swift-system"),
      ], swiftSettings: strict),
    .testTarget(
      name: "ControlAPITests",
      dependencies: [
        "ControlAPI", "Holdfast", "SystemCalls", .product(name: "SystemPackage", package: "swift-system"),
      ], swiftSettings: strict),
    .testTarget(
      name: "HoldfastDaemonTests",
      dependencies: [
        "HoldfastDaemon", "HostConfiguration", "HostCore", "Pairing", "DaemonSupport", "ControlAPI", "SystemCalls",
        "LinuxNetwork", "Lab", "TCPModel",
        .product(name: "Logging", package: "swift-log"),
      ], swiftSettings: strict),
    .testTarget(
      name: "ProxyTests", dependencies: ["HoldfastProxy", "ControlAPI", "DaemonSupport", "TCPModel"],
      swiftSettings: strict),
    .testTarget(name: "LabTests", dependencies: ["Lab", "TCPModel"], swiftSettings: strict),
    .testTarget(
      name: "FailoverTests",
      dependencies: ["Lab", "Holdfast", "TCPModel", "SystemCalls", "LinuxNetwork", "TLSTransport"],
      swiftSettings: strict),
    .testTarget(name: "HouseTests", swiftSettings: strict),
  ],
  cxxLanguageStandard: .cxx17
)
