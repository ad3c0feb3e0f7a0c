internal import DaemonSupport
public import Logging

/// The kinds of events that an operator's tools may wait for.
///
/// The journal carries each with its MESSAGE_ID, which stays when the wording of the message changes:
/// `journalctl MESSAGE_ID=…`. The numbers are random 128-bit ids, one for each kind, and are never used anew.
public enum EventID: String, CaseIterable, Sendable {
  /// The daemon runs, and its rules are in the kernel.
  case started = "6c5949ab0aa14aeb9509909378ed8c19"
  /// The configuration cannot be used: a daemon did not start, or one that runs does not restart.
  case configurationInvalid = "74fd923123b540db887d974841f91777"
  /// The configuration cannot be used, and a restarted daemon goes on with the last good one.
  case lastGoodConfiguration = "a45f647310e4475dae52d802b5ac017d"
  /// A pair is no longer in the configuration, and its connections have been moved or reset.
  case pairRemoved = "3311e5aabc4c4793a1d0e35e704ef551"
  /// A pair has another role on this host.
  case roleChanged = "9e1b650e0901406783af792fc4deb453"
  /// The other host of a pair is there.
  case peerConnected = "c941f2bf947246359d069403c7b3f074"
  /// The other host of a pair is gone, or its stream is.
  case peerLost = "7bf7b6a8a0094980a3d2d486370ffda8"
  /// Nothing comes over one of the heartbeat paths any more.
  case pathLost = "bfe9b637a7114f1f8b4ee4e46c29f9e4"
  /// Heartbeats come over a path again, or for the first time.
  case pathFound = "610b17f56be94ee280aee168e6538ca0"
  /// This host begins to continue the connections of the other.
  case takeoverStarted = "27253abe72874c10b1b7ccb9fdf98508"
  /// The connections go on here.
  case takeoverCompleted = "01aec89a4ce9425d83870a72bbdf0c4c"
  /// The connections could not be continued here.
  case takeoverFailed = "8575f97f15a34d9eb4d26fad5cf0f4af"
  /// One protected connection could not be kept.
  case connectionLost = "7ce8b3f44a304b0f86b8f0dafe05d50f"
  /// A service address was added to or removed from an interface of this host.
  case addressMoved = "fe58b4de0c8b42ca89b31a2baf323291"
  /// A service address was gone from the host that holds it, and is back.
  case addressLost = "2ff43b3d497e905a210df29e268e4a56"
  /// It cannot be put back.
  case addressUnavailable = "cb38a7b33aca5e0ddab688ba2a51d67b"
  /// A service address is on a host that does not hold it.
  case addressUnexpected = "eb6f3acc78474bf00ac584fb558addfa"
  /// Both hosts believe that the connections are theirs.
  case splitBrainDetected = "ddbe6a4a285648ddb4de1e5cbdced2e5"
  /// This host gave up its connections because they belong to the other.
  case fenced = "0d014eeaf7394c37b034feb02dc35e4e"
  /// This host handed its connections to the other one, as planned, or could not.
  case switchover = "fbb2b2bb024043338b14befb656203e8"
  /// Whether and how far a standby follows has changed.
  case replicationChanged = "9f2d65e6992b45968f0844668a01d6c4"
  /// This host would act alone and was not permitted to, and why.
  case notPermitted = "7ede2218652d4d608c4fab77d189e59b"
  /// The arbiter's lease has ended, and with it the permission to go on without a standby.
  case permissionEnded = "c8000615e975496586bf0e806fd974fb"
  /// The cluster manager wants this host to be active.
  case promoted = "4221939b2e8545b09caf2f3f223a16be"
  /// It wants it not to be.
  case demoted = "a3d346c51a474bbf8e4f1cc342fed671"
  /// The arbiter cannot be asked.
  case arbiterLost = "8d704323de68499fb1399f5b1606c64a"
  /// It can be asked again.
  case arbiterFound = "31e78df6191b40f187f71748dcd4ea17"
  /// A pair's hosts talk in plaintext, as its configuration says.
  case channelInPlaintext = "51f0545a940946e7954382f768e87b5c"
  /// A daemon goes on with the connections that the one before it has left.
  case resumed = "fd8026e936d0464290205011e19fb5bc"
  /// Another program has changed the packet table: packets may have passed unrecorded.
  case tableChanged = "635ad397c9394e5b84b7668972583202"
  /// The other host's packet table is not in force: it cannot continue the connections.
  case peerTableMissing = "297bfcdd908843a689f1ed5459a57384"
  /// The other host's packet table is in force again.
  case peerTableInForce = "1efbd7078321461999270ddcf18419b0"
  /// The packet table is in force again after a time in which the kernel did not take it.
  case tableInForce = "05fce44c224c4ef089aa6c9a49e6b104"
  /// Clients cannot reach this host at the service addresses: a link is down, or no witness answers.
  case linkLost = "deb2c5eea05c4e6ba0ebe420776788eb"
  /// They can again.
  case linkFound = "85c50144caac4f5b9b9260d9ee809eeb"
  /// The other host says that clients cannot reach it at the service addresses.
  case peerLinkLost = "e498217ef7e1400d9a66b835c7620d70"
  /// It says that they can again.
  case peerLinkFound = "855eeeea4312480fbca8bd9e809f8177"
  /// The daemon ends in order.
  case stopping = "4d2ddf1244164d8fba906371168691f3"

  /// The id as the journal shows it: 32 hexadecimal digits.
  public var messageID: String { rawValue }

  /// Under this metadata key the id travels to the log handler.
  package static let metadataKey = LogRecord.eventKey
}

extension Logger {
  /// Logs something that happened and that an operator's tools may wait for.
  public func event(
    _ id: EventID, level: Logger.Level = .notice, _ message: @autoclosure () -> Logger.Message,
    metadata: Logger.Metadata = [:], file: String = #fileID, function: String = #function, line: UInt = #line
  ) {
    log(
      level: level, message(), metadata: metadata.merging([EventID.metadataKey: "\(id.messageID)"]) { $1 },
      file: file, function: function, line: line)
  }
}

extension Logger {
  /// The daemon's own logger.
  public static func daemon(level: Logger.Level = .info) -> Logger {
    Logger(label: "holdfastd") { _ in DaemonLogHandler(level: level) }
  }
}
