/// One thing that has happened to a connection, as both hosts' ledgers take it in: the active host when it happens, the standby
/// when the stream brings it. Nothing else changes a ledger while it is replicated.
///
/// Payload is memory of a packet or of the stream: a record is valid while that is.
public enum Record {
  /// A packet came from the peer. The packet may be forged, late, or refused by the kernel. One with a bad checksum must not become
  /// a record.
  case ingress(SegmentHeader, UnsafeRawBufferPointer)
  /// A packet is about to leave. It comes from the host's own kernel, so what it says is so. The time is CLOCK_MONOTONIC, ns, of the
  /// host that folds the record: it does not travel.
  case egress(SegmentHeader, UnsafeRawBufferPointer, at: UInt64)
  /// The application has read everything below a sequence number.
  case consumed(SequenceNumber)
  /// The application says that it has consumed input up to a stream offset.
  case confirmed(Int64)
  /// The application's state, valid at the offsets that it names.
  case checkpoint(Checkpoint)
  /// The application has changed socket options: all of them, as they are now.
  case options(SocketOptions)
}

extension Ledger {
  /// Folds a record. Folding is idempotent: a record that is folded again changes nothing.
  @inline(__always)
  public func apply(_ record: Record) {
    switch record {
    case .ingress(let header, let payload): foldIngress(header, payload)
    case .egress(let header, let payload, let time): foldEgress(header, payload, now: time)
    case .consumed(let sequence): consume(upTo: sequence)
    case .confirmed(let offset): confirm(offset)
    case .checkpoint(let checkpoint): self.checkpoint(checkpoint)
    case .options(let options): self.options = options
    }
  }
}
