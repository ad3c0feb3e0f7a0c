/// What others did to the host's nf_tables ruleset.
public enum TableChange: Sendable {
  /// Nothing that concerns the packet table.
  case none
  /// Somebody else changed or removed the packet table.
  case touched
  /// The kernel had more to say than the socket could hold: only a look at the table tells (`PacketTable.isIntact`).
  case overrun
}
