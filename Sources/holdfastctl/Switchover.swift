internal import ArgumentParser
internal import Holdfast

struct Switchover: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Moves a pair from this host to the other one.",
    discussion: """
      Call it on the active host, with a standby that is synced and that clients can reach. No byte is lost and the clients see a pause of a few round \
      trips. The sockets of the applications on this host end; those on the other host adopt the connections.
      """)

  @OptionGroup var daemon: DaemonOptions
  @Argument(help: "The pair's name, as 'holdfastctl status' shows it.") var pair: String

  func run() throws {
    // It takes as long as there is something to carry.
    try daemon.call(patience: nil) { (client) throws(HoldfastError) in try client.switchover(pair: pair) }
    print("\(pair) has moved to the other host")
  }
}
