import FoundationEssentials
import Testing

@testable import ControlAPI

@Suite struct InterfaceDescriptionTests {
  /// What the type says on the wire, all optional fields given, must be what the description says.
  private func fields(of type: String) throws -> Set<String> {
    let text = try #require(InterfaceDescription.text(of: "io.holdfast"))
    let start = try #require(text.firstRange(of: "type \(type) ("))
    let end = try #require(text[start.upperBound...].firstRange(of: "\n)"))
    let lines = text[start.upperBound..<end.lowerBound].split(separator: "\n")
    return Set(
      lines.compactMap { line in
        let line = line.drop { $0 == " " }
        return line.hasPrefix("#") ? nil : line.split(separator: ":").first.map(String.init)
      })
  }

  @Test func theDescriptionNamesTheFieldsOfTheTypes() throws {
    var connection = connectionInfo("1")
    connection.key = "k"
    #expect(try fields(of: "Connection") == Set(Mirror(reflecting: connection).children.compactMap(\.label)))
    let path = HeartbeatPath(local: "", peer: "", alive: true, lastHeardMilliseconds: 1)
    #expect(try fields(of: "HeartbeatPath") == Set(Mirror(reflecting: path).children.compactMap(\.label)))
    let rejected = RejectedHeartbeats()
    #expect(try fields(of: "RejectedHeartbeats") == Set(Mirror(reflecting: rejected).children.compactMap(\.label)))
    let refused = RefusedPackets()
    #expect(try fields(of: "RefusedPackets") == Set(Mirror(reflecting: refused).children.compactMap(\.label)))
    let pair = PairStatus(
      name: "", role: .active, replication: .synced, epoch: 1, peer: "", addresses: [], connections: 0, protected: 0,
      ledgers: 0, security: .tls, refusedConnections: 0, rejectedHeartbeats: rejected, heartbeatPaths: [path])
    #expect(try fields(of: "PairStatus") == Set(Mirror(reflecting: pair).children.compactMap(\.label)))
    let address = AddressStatus(address: "", present: true, problem: "")
    #expect(try fields(of: "AddressStatus") == Set(Mirror(reflecting: address).children.compactMap(\.label)))
    let event = EventInfo(kind: "", pair: "", connection: "", message: "")
    #expect(try fields(of: "Event") == Set(Mirror(reflecting: event).children.compactMap(\.label)))
  }

  @Test func theDescriptionNamesTheValuesOfTheEnumerations() throws {
    let text = try #require(InterfaceDescription.text(of: "io.holdfast"))
    func list(_ values: [String]) -> String { "(" + values.joined(separator: ", ") + ")" }
    #expect(text.contains("role: " + list(RoleName.allCases.map(\.rawValue))))
    #expect(text.contains("replication: " + list(ReplicationState.allCases.map(\.rawValue))))
    #expect(text.contains("security: " + list(SecurityName.allCases.map(\.rawValue))))
    #expect(text.contains("timestampUnit: " + list(TimestampUnitName.allCases.map(\.rawValue))))
    #expect(text.contains("retention: ?" + list(Retention.allCases.map(\.rawValue))))
    #expect(text.contains("how: ?" + list(ReleaseMode.allCases.map(\.rawValue))))
  }

  /// The document for people says everything that the description says.
  @Test func theDocumentNamesEveryMethodAndError() throws {
    let path = FileManager.default.currentDirectoryPath + "/docs/control-interface.md"
    let document = String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
    let text = try #require(InterfaceDescription.text(of: "io.holdfast"))
    let methods = text.matches(of: /\nmethod (\w+)\(/).map(\.output.1)
    let errors = text.matches(of: /\nerror (\w+) \((.+)\)/).map {
      "\($0.output.1)(\($0.output.2.replacing(": string", with: "")))"
    }
    #expect(methods.count == 11 && errors.count == 13)
    for name in methods.map(String.init) + errors { #expect(document.contains("`\(name)`"), "\(name)") }
    let limits = ControlLimits()
    #expect(document.contains("\(limits.pendingCalls) unanswered") && document.contains("\(limits.clients) clients"))
    #expect(document.contains("\(limits.bufferedOutput >> 20) MiB of replies"))
    #expect(document.contains("\(limits.messageLength >> 20) MiB for a call"))
  }
}
