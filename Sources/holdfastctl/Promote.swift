internal import ArgumentParser
internal import Holdfast

struct Promote: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Makes this host active for a pair; for cluster managers.",
    discussion: """
      For pairs with arbiter = "external", whose hosts never act alone by themselves. The host goes on in the other one's place, \
      or begins. It does not push aside an active host that it hears: that one is to be demoted, or fenced, first.
      """)

  @OptionGroup var daemon: DaemonOptions
  @Argument(help: "The pair's name, as 'holdfastctl status' shows it.") var pair: String

  func run() throws {
    try daemon.call { (client) throws(HoldfastError) in try client.promote(pair: pair) }
    print("this host is active for \(pair)")
  }
}

struct Demote: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Has this host stop being active for a pair; for cluster managers.",
    discussion: """
      For pairs with arbiter = "external". A synced standby gets everything and goes on when it is promoted; without one the \
      connections end here without a packet.
      """)

  @OptionGroup var daemon: DaemonOptions
  @Argument(help: "The pair's name, as 'holdfastctl status' shows it.") var pair: String

  func run() throws {
    try daemon.call { (client) throws(HoldfastError) in try client.demote(pair: pair) }
    print("this host is not active for \(pair)")
  }
}
