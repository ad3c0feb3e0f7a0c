import Testing

@testable import DaemonSupport
@testable import HoldfastDaemon

@Suite struct ServiceManagerTests {
  @Test func theManagerHearsEachStatusOnceAndAsOneLine() {
    var sent: [String] = []
    let manager = ServiceManager { sent.append($0) }
    manager.ready()
    manager.status("standby for web")
    manager.status("standby for web")
    manager.status("active\nREADY=0")
    manager.status("standby for web")
    manager.stopping()
    #expect(
      sent == ["READY=1", "STATUS=standby for web", "STATUS=active READY=0", "STATUS=standby for web", "STOPPING=1"])
  }
}
