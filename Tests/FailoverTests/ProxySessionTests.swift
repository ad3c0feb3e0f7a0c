import Glibc
import Lab
import Testing

/// Sessions that live long and are dear to lose: a shell, a database transaction, a BGP neighbour. Client and server are what
/// Debian ships, on both sides of the proxy whose host dies.
@Suite(.serialized)
struct ProxySessionTests {
  @Test func aShellGoesOn() throws {
    let lab = try ProxiedPair(port: 2222, backend: "check = \"none\"")
    let folder = lab.folder
    for name in ["host", "id"] {
      try Tool.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "\(folder)/\(name)")
    }
    // sshd will not start without its empty folder, which Debian's unit makes.
    try Files.makeFolders("/run/sshd")
    try Files.write(
      """
      Port 2222
      ListenAddress \(Addresses.server)
      HostKey \(folder)/host
      AuthorizedKeysFile \(folder)/id.pub
      StrictModes no
      UsePAM no
      PermitRootLogin yes
      PidFile \(folder)/sshd.pid

      """, to: "\(folder)/sshd_config")
    try lab.serve("/usr/sbin/sshd", ["-D", "-e", "-f", "\(folder)/sshd_config"], port: 2222)
    let end = "\(folder)/end"
    let shell = try lab.client(
      "ssh",
      [
        "-p", "2222", "-i", "\(folder)/id", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
        "-o", "BatchMode=yes", "root@\(Addresses.service4)",
        "i=0; until [ -e \(end) ]; do i=$((i + 1)); echo line-$i-; sleep 0.01; done; echo the end",
      ])
    func lines() -> [String] { shell.standardOutput.split(separator: "\n").map(String.init) }
    func waitForLines() throws {
      let before = lines().count
      try wait(for: "the shell's next lines\(lab.explanation)", until: .seconds(30)) {
        guard shell.isRunning else { throw LabError("ssh ended: \(shell.standardError)\(lab.explanation)") }
        return lines().count > before + 20
      }
    }
    try lab.crash(times: 4) { _ in
      try waitForLines()
      try lab.waitForSessions(1)
    }
    try waitForLines()
    try Files.write("", to: end)
    #expect(try shell.wait(until: .seconds(60)) == 0, "\(shell.standardError)\(lab.explanation)")
    #expect(lines() == (1..<lines().count).map { "line-\($0)-" } + ["the end"])
  }

  @Test func aTransactionAndABenchmarkCommit() throws {
    let lab = try ProxiedPair(port: 5432, backend: "check = \"none\"")
    let version = try #require(Files.list("/usr/lib/postgresql").first, "PostgreSQL is not installed")
    let programs = "/usr/lib/postgresql/\(version)/bin"
    let data = "\(lab.folder)/data"
    // PostgreSQL refuses to run as root.
    try Files.makeFolders(data)
    try Tool.run("chown", "postgres", data)
    let parent = "/" + lab.folder.split(separator: "/").dropLast().joined(separator: "/")
    try Tool.run("chmod", "a+x", lab.folder, parent)
    func asPostgres(_ arguments: [String]) -> [String] { ["-u", "postgres", "--"] + arguments }
    try Tool.run("runuser", asPostgres(["\(programs)/initdb", "--auth=trust", "--no-sync", "-D", data]))
    try Files.append(to: "\(data)/pg_hba.conf") { write in
      try write(Array("host all all 10.77.0.0/24 trust\n".utf8))
    }
    try lab.serve(
      "runuser",
      asPostgres([
        "\(programs)/postgres", "-D", data, "-c", "listen_addresses=\(Addresses.server)", "-c", "fsync=off", "-c",
        "unix_socket_directories=",
      ]), port: 5432)
    let there = ["-h", Addresses.server, "-U", "postgres", "postgres"]
    let here = ["-h", Addresses.service4, "-U", "postgres", "postgres"]
    try wait(for: "PostgreSQL to have started", until: .seconds(30), every: 50) {
      (try? Tool.run("psql", ["-qAtc", "SELECT 1"] + there, in: lab.server)) != nil
    }
    try Tool.run("pgbench", ["-q", "-i", "-s", "1"] + there, in: lab.server)
    try Tool.run("psql", ["-qc", "CREATE TABLE step (number int)"] + there, in: lab.server)

    // psql reads its commands from a pipe, so that the transaction lasts for as long as the test wants.
    let pipe = "\(lab.folder)/commands"
    try Tool.run("mkfifo", pipe)
    let transaction = try lab.client("psql", ["-v", "ON_ERROR_STOP=1", "-f", pipe] + here)
    let benchmark = try lab.client("pgbench", ["-c", "4", "-t", "1500", "-n"] + here)
    func alive() throws {
      for program in [transaction, benchmark] where !program.isRunning {
        throw LabError("\(program.name): \(program.standardError)\(lab.explanation)")
      }
    }
    var step = 0
    try Files.append(to: pipe) { write in
      func takeSteps() throws {
        for _ in 0..<20 {
          step += 1
          try write(Array("INSERT INTO step VALUES (\(step)); SELECT 'step-\(step)-', pg_sleep(0.01);\n".utf8))
        }
      }
      func waitForSteps() throws {
        try wait(for: "step \(step)\(lab.explanation)", until: .seconds(60)) {
          guard transaction.isRunning else { throw LabError("psql: \(transaction.standardError)\(lab.explanation)") }
          return transaction.standardOutput.contains("step-\(step)-")
        }
      }
      try write(Array("BEGIN;\n".utf8))
      try lab.crash(times: 3, holding: benchmark) { _ in
        try takeSteps()
        try waitForSteps()
        try lab.waitForSessions(5)
        try alive()
        // In the middle of these the host dies.
        try takeSteps()
      }
      try takeSteps()
      try waitForSteps()
      try write(Array("COMMIT;\n".utf8))
    }
    #expect(try transaction.wait(until: .seconds(60)) == 0, "\(transaction.standardError)\(lab.explanation)")
    #expect(transaction.standardOutput.contains("COMMIT"))
    #expect(try benchmark.wait(until: .seconds(120)) == 0, "\(benchmark.standardError)\(lab.explanation)")
    func ask(_ query: String) throws -> String {
      try Tool.run("psql", ["-qAtc", query] + there, in: lab.server).trimmed
    }
    #expect(try ask("SELECT count(*), sum(number) FROM step") == "\(step)|\(step * (step + 1) / 2)")
    // Each of pgbench's transactions is there, once.
    #expect(try ask("SELECT count(*) FROM pgbench_history") == "6000")
    #expect(
      try ask("SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)") == "t")
  }

  @Test func aBGPNeighbourSeesNoFlap() throws {
    let lab = try ProxiedPair(port: 179, backend: "check = \"none\"")
    let folder = lab.folder
    for (name, address, number) in [("client", Addresses.client, 1), ("server", Addresses.server, 2)] {
      try Files.write(
        """
        log "\(folder)/\(name).log" all;
        debug protocols { states, events };
        router id \(address);
        protocol device {}
        protocol static { ipv4; route 192.0.2.\(number)/32 blackhole; }
        protocol bgp neighbour {
          local \(address) as 6500\(number);
          neighbor \(Addresses.service4) as 6500\(3 - number);
          \(name == "server" ? "passive;" : "connect delay time 1;")
          multihop;
          hold time 9;
          keepalive time 1;
          ipv4 { import all; export all; };
        }

        """, to: "\(folder)/\(name).conf")
    }
    func bird(_ name: String) -> [String] {
      ["-f", "-c", "\(folder)/\(name).conf", "-s", "\(folder)/\(name).ctl", "-P", "\(folder)/\(name).pid"]
    }
    try lab.serve("bird", bird("server"), port: 179)
    let client = try lab.client("bird", bird("client"))
    func ask(_ name: String, _ question: String...) throws -> String {
      try Tool.run("birdc", ["-s", "\(folder)/\(name).ctl"] + question)
    }
    try wait(for: "the neighbours to agree: \(client.standardError)\(lab.explanation)", until: .seconds(60), every: 50)
    {
      // Before it has made its socket birdc fails.
      [("client", 2), ("server", 1)].allSatisfy { name, number in
        (try? ask(name, "show", "route"))?.contains("192.0.2.\(number)/32") ?? false
      }
    }
    try lab.crash(times: 3) { _ in
      try lab.waitForSessions(1)
      // Two crashes between two keepalives would be longer than the hold time.
      try lab.waitForWords()
    }
    // More than a hold time later both still hold the same session: only keepalives that got through can have kept it.
    let begin = monotonicNow()
    try wait(for: "a hold time to pass", until: .seconds(30), every: 100) { monotonicNow() - begin > 10_000_000_000 }
    for name in ["client", "server"] {
      let state = try ask(name, "show", "protocols", "neighbour")
      #expect(state.contains("Established"), "\(name): \(state)\(lab.explanation)")
      let log = try Files.read("\(folder)/\(name).log")
      #expect(log.split(separator: "\n").count { $0.contains("BGP session established") } == 1, "\(log)")
      for word in ["State changed to stop", "State changed to flush", "BGP session closed", "Hold timer expired"] {
        #expect(!log.contains(word), "\(name)'s log has a flap: \(log)")
      }
    }
  }
}

extension String {
  fileprivate var trimmed: String { String(drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed()) }
}
