internal import ArgumentParser
internal import ControlAPI

/// holdfastctl: looks at the daemon of this host, and tells it what to do.
struct Holdfastctl: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "holdfastctl",
    abstract: "Shows and controls the connections that holdfastd protects on this host.",
    discussion: """
      Exit status: 0 done, 1 refused or failed, 3 holdfastd is not running, 64 wrong usage.
      """,
    version: holdfastVersion,
    subcommands: [
      Status.self, Connections.self, Switchover.self, Promote.self, Demote.self, Release.self, Fence.self, Keygen.self,
    ])
}

Holdfastctl.main()
