import Pairing

extension Verb {
  /// The process stands still (SIGSTOP, a virtual machine that stalls): what comes for it waits.
  static let pauses = ofHost("pauses") { host, driver in driver.hosts[host]?.isPaused = true }

  /// It goes on as the daemon does: first all heartbeats, then the tick that is overdue, then the channel.
  static let resumes = ofHost("resumes") { host, driver in
    guard let state = driver.hosts[host] else { return }
    driver.hosts[host]?.isPaused = false
    driver.hosts[host]?.heartbeats = []
    driver.hosts[host]?.messages = []
    for (path, heartbeat) in state.heartbeats { driver.handle(.heartbeat(path: path, heartbeat), on: host) }
    driver.runTick(host)
    for message in state.messages { message(driver) }
  }
}
