/// Something in the laboratory that went wrong, in a sentence that names what was tried, on what, and what came of it.
public struct LabError: Error, Hashable, Sendable, CustomStringConvertible {
  public let description: String

  public init(_ description: String) { self.description = description }
}
