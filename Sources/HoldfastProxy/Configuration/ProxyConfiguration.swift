public import TCPModel

/// What the operator decided, checked. Times are nanoseconds. The keys of the file are in docs/proxy.md.
public struct ProxyConfiguration: Sendable, Equatable {
  /// holdfastd's control socket.
  public var control = "/run/holdfast/control.sock"
  /// Under which name the connections are registered, and adopted on the other host.
  public var service = "holdfast-proxy"
  public var unprotected = Unprotected.serve
  /// How long an orderly stop waits for connections to end.
  public var drainTimeout: UInt64 = 30_000_000_000
  /// Event loops; nil: one for each processor.
  public var threads: Int?
  /// At least one.
  public var frontends: [Frontend] = []
  /// At least one.
  public var backends: [Backend] = []

  public init() {}

  /// What becomes of a connection that the daemon does not take.
  public enum Unprotected: String, Sendable, CaseIterable {
    /// It is served, and ends with this host.
    case serve
    case refuse
  }

  /// Where clients connect.
  public struct Frontend: Sendable, Equatable {
    public var name: String
    /// At least one.
    public var listen: [Endpoint]
    /// Name of the backend.
    public var backend: String
    /// Clients beyond wait in the kernel's queue until another one leaves.
    public var maxConnections = 10_000
    /// A connection on which nothing moves for so long is reset; nil: never.
    public var idleTimeout: UInt64?

    public init(name: String, listen: [Endpoint], backend: String) {
      self.name = name
      self.listen = listen
      self.backend = backend
    }
  }

  /// Servers that do the same.
  public struct Backend: Sendable, Equatable {
    public var name: String
    /// At least one.
    public var servers: [Endpoint]
    /// The service addresses from which the servers are called, at most one of each family. Where there is none of a server's
    /// family, it is the address at which the client called.
    public var source: [IPAddress] = []
    public var balance = Balance.roundRobin
    public var connectTimeout: UInt64 = 5_000_000_000
    public var header = HeaderKind.none
    public var check = Check.connect
    public var checkInterval: UInt64 = 2_000_000_000
    public var checkTimeout: UInt64 = 1_000_000_000
    /// Successful checks in a row until a server counts as up, and failed ones until it counts as down.
    public var rise = 2
    public var fall = 3

    public init(name: String, servers: [Endpoint]) {
      self.name = name
      self.servers = servers
    }
  }

  /// Which server gets the next connection.
  public enum Balance: String, Sendable, CaseIterable {
    case roundRobin = "round_robin"
    case leastConnections = "least_connections"
    /// The same server for the same client, on both hosts, for as long as it is up.
    case sourceHash = "source_hash"
  }

  /// What a server is told of the client before the first byte (the PROXY protocol).
  public enum HeaderKind: String, Sendable, CaseIterable { case none, v1, v2 }

  /// How it is found out whether a server is up.
  public enum Check: String, Sendable, CaseIterable {
    /// By connecting to it.
    case connect
    /// Not at all: all count as up.
    case none
  }
}
