/// The addresses of the laboratory's hosts.
///
///     client 10.77.0.9 ──┐
///                        ├── lan (bridge br0) ── alpha 10.77.0.1 ══ rep0 10.78.0.1 ═══ 10.78.0.2 ══ beta
///     server 10.77.0.20 ─┤ (where asked for)
///                        └───────────────────────────────────────────────────────────── beta 10.77.0.2
///
/// The same last digits in fd77::/64. The service's addresses are held by whichever host is active.
public enum Addresses {
  public static let service4 = "10.77.0.100"
  public static let service6 = "fd77::100"
  /// A second address of alpha's LAN side, for traffic that is none of the daemon's business.
  public static let alpha = "10.77.0.1"
  public static let beta = "10.77.0.2"
  public static let client = "10.77.0.9"
  /// Somebody else's server, behind the proxy.
  public static let server = "10.77.0.20"
}
