internal import CSystemd
internal import SystemCalls
internal import SystemPackage

/// Something that an `EventLoop` watches. It is watched as long as this object lives and `cancel` was not called; a handler
/// may cancel its own source, or let go of the last reference to it.
///
/// The C side holds an unretained pointer to this object: `cancel`, which `deinit` calls, takes it back.
class EventSource {
  let loop: EventLoop
  /// `nil` once cancelled.
  private(set) var handle: OpaquePointer?

  init(loop: EventLoop) { self.loop = loop }

  // Not `cancel`: by now an override of it would find its own properties destroyed.
  deinit { detach() }

  /// Stops watching, for good. Harmless when repeated.
  func cancel() { detach() }

  private final func detach() {
    guard let handle else { return }
    self.handle = nil
    sd_event_source_disable_unref(handle)
  }

  /// Whether the source fires: never, always, or once (SD_EVENT_OFF, SD_EVENT_ON, SD_EVENT_ONESHOT).
  enum Mode: Int32 {
    case off = 0
    case on = 1
    case once = -1
  }

  final func setMode(_ mode: Mode) {
    apply("sd_event_source_set_enabled") { sd_event_source_set_enabled($0, mode.rawValue) }
  }

  /// Makes the source with one of the sd_event_add_* calls, which gets the userdata for its callback.
  /// A description shows in libsystemd's debug log.
  final func attach(
    _ call: String, priority: Int, description: String,
    _ add: (_ handle: inout OpaquePointer?, _ userdata: UnsafeMutableRawPointer) -> Int32
  ) throws(SystemCallError) {
    var handle: OpaquePointer?
    try EventLoop.check(call, on: description, add(&handle, Unmanaged.passUnretained(self).toOpaque()))
    self.handle = handle
    try EventLoop.check(
      "sd_event_source_set_priority", on: description, sd_event_source_set_priority(handle, Int64(priority)))
    try EventLoop.check(
      "sd_event_source_set_description", on: description, sd_event_source_set_description(handle, description))
  }

  /// Changes the source; nothing happens once it is cancelled. A refusal ends the loop, because the alternative is a source
  /// that silently no longer fires; refusals because the loop has ended already (ESTALE) do not matter.
  final func apply(_ call: String, _ change: (OpaquePointer) -> Int32) {
    guard let handle else { return }
    do { try EventLoop.check(call, change(handle)) } catch  where error.errno == .staleNFSFileHandle {} catch {
      loop.fail(error)
    }
  }

  /// The object behind a callback's userdata, retained while the callback runs.
  static func from(_ userdata: UnsafeMutableRawPointer?) -> Self? {
    userdata.map { Unmanaged<Self>.fromOpaque($0).takeUnretainedValue() }
  }
}
