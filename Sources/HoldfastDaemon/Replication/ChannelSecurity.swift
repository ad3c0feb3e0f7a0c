internal import HostConfiguration
internal import LinuxNetwork
internal import TLSTransport

/// What stands around the sockets of a pair's replication channel.
enum ChannelSecurity {
  case plaintext
  case tls(TLSContext)

  init(_ configuration: Configuration.Pair.ReplicationLink) throws {
    switch configuration.security {
    case .none: self = .plaintext
    case .tls(let trust):
      self = .tls(try TLSContext(identity: trust.identity(), peers: trust.peers))
    }
  }

  /// Around a socket that this host accepted.
  func accepted(_ socket: StreamSocket) throws -> any ByteTransport { try transport(socket, .server) }
  /// Around a socket that this host connected.
  func connected(_ socket: StreamSocket) throws -> any ByteTransport { try transport(socket, .client) }

  private func transport(_ socket: StreamSocket, _ side: TLSStream.Side) throws -> any ByteTransport {
    switch self {
    case .plaintext: socket
    case .tls(let context): try TLSStream(socket, side, context)
    }
  }

  func heartbeatSeal(pair: String) -> HeartbeatSeal? {
    switch self {
    case .plaintext: nil
    case .tls(let context): HeartbeatSeal(context, pair: pair)
    }
  }
}
