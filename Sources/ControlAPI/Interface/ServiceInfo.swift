/// What `org.varlink.service.GetInfo` answers.
public struct ServiceInfo: Codable, Hashable, Sendable {
  public var vendor: String
  public var product: String
  public var version: String
  public var url: String
  public var interfaces: [String]

  public init(vendor: String, product: String, version: String, url: String, interfaces: [String]) {
    self.vendor = vendor
    self.product = product
    self.version = version
    self.url = url
    self.interfaces = interfaces
  }

  /// This daemon.
  public static let holdfast = ServiceInfo(
    vendor: "Holdfast", product: "holdfastd", version: holdfastVersion, url: "file:///usr/share/doc/holdfast",
    interfaces: ["org.varlink.service", "io.holdfast"])
}

/// The version of everything in this package.
public let holdfastVersion = "0.1.0"

struct InterfaceDescriptionCall: Codable {
  var interface: String
}

struct InterfaceDescriptionReply: Codable {
  var description: String
}
