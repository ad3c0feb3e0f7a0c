internal import LinuxNetwork
internal import SystemCalls

/// What daemons have written down on this host, in this network namespace, and whether they still run.
package struct RuntimeStates {
  package struct Entry {
    package let file: RuntimeStateFile
    package let state: RuntimeState
    /// Somebody answers at its control socket.
    package let isAlive: Bool
  }

  package private(set) var entries: [Entry] = []
  /// Files that should have told and cannot be read.
  private(set) var unreadable: [(file: RuntimeStateFile, reason: RuntimeStateFile.Unreadable)] = []

  /// - Parameters:
  ///   - folders: where to look.
  ///   - control: the control socket's path where it is known: a daemon that was started by hand writes beside it.
  package init(in folders: [String], control: String?) {
    var files = folders.flatMap { RuntimeStateFile.all(in: $0) }
    if let control {
      let file = RuntimeStateFile(path: "\(control).\(RuntimeStateFile.suffix)")
      if !files.contains(file) { files.append(file) }
    }
    let network = RuntimeState.currentNetwork
    for file in files {
      do throws(RuntimeStateFile.Unreadable) {
        let state = try file.read()
        // That of another host that shares the file system.
        guard state.network == network else { continue }
        entries.append(Entry(file: file, state: state, isAlive: Self.answers(state.control)))
      } catch {
        if !error.isMissing { unreadable.append((file, error)) }
      }
    }
  }

  /// Where the state of a daemon is looked for: in the folder that somebody names, else in that of the service, or wherever a daemon
  /// that was started by hand may have put it.
  package static func folders(runtime: String?, configuration path: String) -> [String] {
    if let folder = runtime ?? RuntimeStateFile.serviceFolder { return [folder] }
    let own = RuntimeStateFile.folder(of: ConfigurationInForce.absolute(path))
    return own == standardFolder ? [own] : [standardFolder, own]
  }
  /// RuntimeDirectory= of the unit.
  private static let standardFolder = "/run/holdfast"

  /// Those of the daemon that has this configuration. A file that cannot be read does not tell its control socket; if no state
  /// names that file then all that were left behind count: nobody else sees to them.
  package func of(configuration path: String, control: String?) -> [Entry] {
    let mine = entries.filter { $0.state.file == path || $0.state.control == control }
    return mine.isEmpty && control == nil ? entries.filter { !$0.isAlive } : mine
  }

  package static func answers(_ control: String) -> Bool { (try? UnixSocket.connect(to: control)) != nil }
}
