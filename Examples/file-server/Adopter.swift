internal import Glibc
internal import Holdfast
internal import SystemCalls

/// Goes on with the connections of the other host's instance, for as long as this process lives.
struct Adopter {
  let protector: Protector
  let files: FileTree

  /// How long to wait for a daemon that is not there, µs.
  private static let pause: UInt32 = 100_000

  func run() {
    while true {
      do throws(HoldfastError) {
        try takeAll()
      } catch {
        protector.complain(error)
        usleep(Self.pause)
      }
    }
  }

  /// Takes what comes until the daemon is gone.
  private func takeAll() throws(HoldfastError) {
    let adoption = try protector.adopt()
    protector.recovered()
    while true { take(try adoption.next()) }
  }

  private func take(_ adopted: consuming AdoptedConnection) {
    let info = adopted.info
    let socket = adopted.takeSocket().release()
    guard let key = info.key, let answer = Answer(key: key) else {
      log("adopted \(info.id) from \(info.peer) with a key that is not this program's; reset")
      protector.release(info.id, how: .reset)
      close(socket)
      return
    }
    log("adopted \(info.id) from \(info.peer): \(answer.method.rawValue) \(answer.target) at \(info.sent)")
    Connection(socket, protector: protector, files: files).start(
      continuing: answer, as: info.id, consumed: info.consumed, sent: info.sent)
  }
}
