/// The interfaces in varlink's definition language, as `GetInterfaceDescription` returns them.
public enum InterfaceDescription {
  /// nil when this service does not have `interface`.
  public static func text(of interface: String) -> String? {
    switch interface {
    case "io.holdfast": holdfast
    case "org.varlink.service": varlinkService
    default: nil
    }
  }

  static let holdfast = """
    # Keeps established TCP connections alive when the host that owns them dies.
    #
    # A field named fd is the index of the descriptor among those that came as SCM_RIGHTS with that message. On a stream socket
    # the kernel can join messages into one read, but ends the read with the write that carried descriptors: they belong to the
    # last message of the read that brought them. So send a call and its descriptors in one sendmsg(2), and nothing else with it.
    # Descriptors that no field names are closed.
    #
    # Offsets count the bytes of a connection's stream since it was registered.
    interface io.holdfast

    # A registered connection.
    type Connection (
      # 16 hexadecimal digits; stable over failovers
      id: string,
      pair: string,
      service: string,
      # what the application gave at registration
      key: ?string,
      # 10.77.0.100:80 or [fd77::100]:80
      local: string,
      peer: string,
      # the kernel's name: ESTABLISHED, CLOSE_WAIT
      tcpState: string,
      # the standby could continue it now
      protected: bool,
      # why no standby could, whatever it holds, and what would help
      obstacle: ?string,
      # input that the peer has been told is delivered; the standby has it
      received: int,
      # input that will not be presented again after a failover
      consumed: int,
      # output that is on the standby: the peer has it or will get exactly these bytes
      sent: int,
      # output that the peer has not acknowledged, bytes
      unacknowledged: int,
      # bytes of the pair's replication stream that the standby has not acknowledged
      replicaLag: int,
      # what the socket adds to the host's timestamp clock, modulo 2^32
      timestampOffset: int,
      timestampUnit: (none, ms, us)
    )

    # A way on which the two hosts hear each other.
    type HeartbeatPath (
      local: string,
      peer: string,
      alive: bool,
      # null when nothing was ever heard
      lastHeardMilliseconds: ?int
    )

    # A service address as it is on this host.
    type AddressStatus (
      # as it is configured: 10.77.0.100/24 dev eth0
      address: string,
      # it is on its interface now
      present: bool,
      # Why it does not work here, or would not.
      problem: ?string
    )

    # Datagrams on the heartbeat paths that were ignored.
    type RejectedHeartbeats (
      # no heartbeat of this pair
      malformed: int,
      # not made by the peer
      forged: int,
      # made by the peer some time ago
      replayed: int,
      # made by this host
      reflected: int
    )

    # Packets of registered connections that no ledger could take in, since the daemon was started.
    type RefusedPackets (
      # no TCP segment, or one that came cut off: dropped
      malformed: int,
      # the checksum is wrong: left to the kernel, which drops such a packet
      badChecksum: int,
      # how often the kernel's queue was full and dropped packets, which their senders send again
      overruns: int
    )

    # The daemon's own table of packet rules.
    type PacketTable (
      # why it is not in force: no connection is protected meanwhile
      problem: ?string,
      # how packets come to the daemon: queue (nft_queue) or target (the xtables target NFQUEUE)
      handover: ?string,
      # whether the kernel keeps other programs from changing it
      owned: bool
    )

    # A pair as this host sees it.
    type PairStatus (
      name: string,
      role: (starting, active, standby, fenced),
      # synced: the standby holds all that has left; syncing: it is being brought up to date; exposed: none follows and this
      # host goes on alone; waiting: none follows and nothing leaves; stale: what this standby holds is out of date
      replication: (synced, syncing, exposed, waiting, stale),
      # grows with every takeover and every decision to go on alone
      epoch: int,
      # the other host, once heard
      peer: ?string,
      addresses: []string,
      # connections that this host owns
      connections: int,
      # how many of them the standby could continue now
      protected: int,
      # connections that this host could continue
      ledgers: int,
      # what protects the channel between the hosts
      security: (tls, none),
      # connections to the replication channel from somebody who is not the peer
      refusedConnections: int,
      rejectedHeartbeats: RejectedHeartbeats,
      refusedPackets: ?RefusedPackets,
      # Why this host does not act alone, where it would.
      denial: ?string,
      # Why the arbiter cannot be asked.
      arbiterProblem: ?string,
      # whether clients can reach this host at the service addresses, as far as it can know; null where links are not tracked
      reachable: ?bool,
      # why they cannot
      linkProblem: ?string,
      # whether the other host says that they can reach it; null while it is not heard, or does not say
      peerReachable: ?bool,
      heartbeatPaths: []HeartbeatPath,
      # what is on the interfaces now, in the order of addresses
      addressStates: []AddressStatus
    )

    # Something that happened.
    type Event (
      kind: string,
      pair: ?string,
      connection: ?string,
      message: string
    )

    # Puts a connected TCP socket under protection. Returns when the standby holds it, or with protected false and the reason.
    # Do not touch the socket during the call. The caller keeps its own descriptor; the daemon keeps a duplicate, so close(2) alone
    # ends the connection only when the daemon has found out: shut it down, or release it. Calls need not wait for each other.
    # Retention says when input counts as consumed: read, the default, when the application has read it; confirm, when it says so.
    method Register(fd: int, service: string, key: ?string, retention: ?(read, confirm)) -> (id: string, protected: bool, reason: ?string)

    # Replicates state that is valid after consuming and producing so many bytes. state is base64, of up to 256 KiB.
    # Output written after the call has returned leaves the host only when the standby has the checkpoint. It counts once it is
    # covered: consumed is within received, produced within sent. Input is retained from the newest covered one's consumed on.
    # An offset that is left out means that the state does not depend on it. Neither goes back.
    method Checkpoint(id: string, state: string, consumed: ?int, produced: ?int) -> ()

    # Says that input up to an offset is consumed, for connections with retention confirm. Input that is not confirmed is held, up to
    # 16 MiB; beyond that the peer has to wait.
    method Confirm(id: string, consumed: int) -> ()

    # Ends protection. keep, the default: the connection goes on unprotected; close: it ends in order, protected until both sides have
    # closed; reset: the peer gets a reset.
    method Release(id: string, how: ?(keep, close, reset)) -> ()

    # Takes over connections of a service that this host continues: one reply each, with the socket. Waits for them; needs more.
    # The socket goes on exactly there: reads begin at consumed, writes append at sent. state and produced are those of the newest
    # covered checkpoint: output made again from produced on is skipped as far as sent.
    method Adopt(service: string) -> (connection: Connection, fd: int, state: ?string, produced: ?int)

    # All connections, or those of one pair, or of one service.
    method ListConnections(pair: ?string, service: ?string) -> (connections: []Connection)

    # This host's name, and all its pairs. configurationProblem: the configuration file cannot be used, and the daemon was
    # restarted and runs with the last good one.
    method GetStatus() -> (node: string, pairs: []PairStatus, packetTable: ?PacketTable, configurationProblem: ?string)

    # Reports what happens, as it happens; needs more. kind is one of role, replication, registered, adopted, released, ended,
    # orphaned, lost, links, skipped. A client that does not keep up gets LimitExceeded as its last reply.
    method Monitor() -> (event: Event)

    # Moves a pair from this host, which is active, to the other one, without loss. Returns when that one is active.
    method Switchover(pair: string) -> ()

    # For cluster managers, where the configuration leaves it to them who is active. Returns when this host is active.
    method Promote(pair: string) -> ()

    # Returns when nothing leaves this host any more: a synced standby has everything and goes on when it is promoted.
    method Demote(pair: string) -> ()

    # The socket cannot be protected; the reason says why, and what would help.
    error UnsupportedSocket (reason: string)

    # No pair has the socket's local address: register connections to a service address.
    error AddressNotServed (local: string)

    # Release it first.
    error AlreadyRegistered (id: string)

    # This host does not own the pair's addresses now: register on the active host.
    error NotActive (pair: string)

    # It has ended, or this host does not own it.
    error NoSuchConnection (id: string)

    error NoSuchPair (pair: string)

    # A service's name has 1 to 64 bytes.
    error NoSuchService (service: string)

    # An offset went back, or is beyond what there is. The connection is unharmed.
    error InvalidOffset (reason: string)

    error LimitExceeded (limit: string)

    # The standby does not hold everything yet: try again when the pair is synced.
    error NotSynced (pair: string)

    # The other host is not one to move to: clients cannot reach it at the service addresses. The reason says more.
    error PeerUnfit (pair: string, reason: string)

    # This host did not become active, or nobody may make it so.
    error NotPromoted (reason: string)

    # The connection belongs to another user's application, or to another service than this client has named.
    error PermissionDenied (reason: string)

    """

  static let varlinkService = """
    # What every varlink service has.
    interface org.varlink.service

    method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)

    method GetInterfaceDescription(interface: string) -> (description: string)

    error InterfaceNotFound (interface: string)

    error MethodNotFound (method: string)

    error MethodNotImplemented (method: string)

    error InvalidParameter (parameter: string)

    error PermissionDenied ()

    error ExpectedMore ()

    """
}
