internal import CSystemd
internal import Glibc

/// What the service manager is about to do with this service.
///
/// A stop and the first half of a restart look the same to a service: SIGTERM. The difference is in the job, which systemd tells over
/// D-Bus (org.freedesktop.systemd1(5)).
package enum ServiceJob {
  /// Whether this service is being stopped in order to be started again. False where that cannot be found out: there is no systemd, or
  /// no message bus.
  package static var isRestart: Bool {
    var bus: OpaquePointer?
    guard sd_bus_open_system(&bus) >= 0 else { return false }
    defer { sd_bus_flush_close_unref(bus) }
    _ = sd_bus_set_method_call_timeout(bus, 1_000_000)
    guard let job = property("Job", of: "\(root)/unit/self", "org.freedesktop.systemd1.Unit", "(uo)", bus, { job($0) }),
      let type = property("JobType", of: job, "org.freedesktop.systemd1.Job", "s", bus, { text($0, "s") })
    else { return false }
    // A restart that was asked for while the service was starting is a job of its own kind until the stop begins.
    return type == "restart" || type == "try-restart"
  }

  private static let root = "/org/freedesktop/systemd1"

  private static func property(
    _ name: String, of object: String, _ interface: String, _ type: String, _ bus: OpaquePointer?,
    _ read: (OpaquePointer?) -> String?
  ) -> String? {
    var reply: OpaquePointer?
    guard sd_bus_get_property(bus, "org.freedesktop.systemd1", object, interface, name, nil, &reply, type) >= 0 else {
      return nil
    }
    defer { sd_bus_message_unref(reply) }
    return read(reply)
  }

  /// The second member of a structure of a number and an object path.
  private static func job(_ message: OpaquePointer?) -> String? {
    var number: UInt32 = 0
    guard sd_bus_message_enter_container(message, CChar(UInt8(ascii: "r")), "uo") > 0,
      sd_bus_message_read_basic(message, CChar(UInt8(ascii: "u")), &number) > 0, number > 0
    else { return nil }
    return text(message, "o")
  }

  private static func text(_ message: OpaquePointer?, _ type: Unicode.Scalar) -> String? {
    var text: UnsafePointer<CChar>?
    guard sd_bus_message_read_basic(message, CChar(UInt8(ascii: type)), &text) > 0 else { return nil }
    return text.map { String(cString: $0) }
  }
}
