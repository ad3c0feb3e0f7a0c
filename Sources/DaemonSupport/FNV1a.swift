/// FNV-1a in 64 bits (Fowler, Noll, Vo): the same number for the same bytes on every host, in every release. No protection against
/// bytes that somebody has chosen.
public enum FNV1a {
  public static func hash(_ bytes: some Sequence<UInt8>) -> UInt64 {
    bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  }
}
