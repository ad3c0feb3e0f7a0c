internal import ControlAPI
internal import LinuxNetwork
internal import TCPModel

/// Whether both legs of every session would move together: the address that a client calls and the one from which its server is
/// called must belong to one pair. Only the daemon knows the pairs, so this is asked of it and not of the file.
struct PairCheck {
  /// Names of pairs.
  private var pairs: [IPAddress: String] = [:]

  init(_ status: [PairStatus]) {
    for pair in status {
      for text in pair.addresses {
        // `10.77.0.100/24 dev eth0`
        guard let address = IPAddress(String(text.prefix { $0 != "/" })) else { continue }
        pairs[address] = pair.name
      }
    }
  }

  /// What is wrong with the configuration, and what to do; nil when nothing is.
  func conflict(in configuration: ProxyConfiguration) -> String? {
    for frontend in configuration.frontends {
      guard let backend = configuration.backends.first(where: { $0.name == frontend.backend }) else { continue }
      for client in frontend.listen {
        guard let pair = pairs[client.address] else { continue }
        for source in backend.servers.compactMap({ backend.source(for: $0, client: client.address) })
        where pairs[source] != pair {
          let place = pairs[source].map { "to pair \"\($0)\"" } ?? "to no pair"
          return
            "frontend \"\(frontend.name)\" listens on \(client.address), which belongs to pair \"\(pair)\", and backend "
            + "\"\(backend.name)\" calls its servers from \(source), which belongs \(place) of holdfastd's: the two legs of a "
            + "session would not move together. Give the backend a source address of pair \"\(pair)\""
        }
      }
    }
    return nil
  }

  /// Addresses that clients call and that no pair has: sessions there end with this host.
  func strangers(in configuration: ProxyConfiguration) -> [IPAddress] {
    let addresses = configuration.frontends.flatMap { $0.listen.map(\.address) }
    return Set(addresses.filter { pairs[$0] == nil }).sorted { "\($0)" < "\($1)" }
  }
}
