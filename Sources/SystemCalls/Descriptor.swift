internal import CLinux
internal import Glibc

/// An owned file descriptor: closed exactly once, when the value ends. Handing it on is a consuming call.
///
/// Descriptors are close-on-exec from birth; whoever makes one sees to it.
public struct Descriptor: ~Copyable, Sendable {
  /// The number, to pass to a call. Valid while this value lives.
  public let number: Int32

  /// Takes ownership of `number`, which nobody else may close.
  public init(owning number: Int32) { self.number = number }

  deinit { _ = close(number) }

  /// Gives up ownership: the caller closes the returned number.
  public consuming func release() -> Int32 {
    let number = self.number
    discard self
    return number
  }

  /// A second descriptor for the same open file, close-on-exec.
  public func duplicate() throws(SystemCallError) -> Descriptor {
    Descriptor(owning: try systemCall("fcntl(F_DUPFD_CLOEXEC)") { hf_fcntl_int(number, F_DUPFD_CLOEXEC, 0) })
  }
}

/// A descriptor that several owners may refer to; closed when the last of them lets go.
public final class SharedDescriptor {
  private let descriptor: Descriptor

  public init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }

  public var number: Int32 { descriptor.number }
}
