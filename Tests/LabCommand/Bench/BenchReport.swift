internal import Glibc
internal import Lab

/// What a benchmark found, in Markdown that is readable as it is.
struct BenchReport {
  private(set) var text: String
  private(set) var missed: [String] = []

  init(rounds: Int, seconds: Double) {
    let kernel = (try? Files.read("/proc/sys/kernel/osrelease").trimmed) ?? "unknown"
    var moment = time(nil)
    var date = tm()
    gmtime_r(&moment, &date)
    func padded(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    text = """
      \(1900 + date.tm_year)-\(padded(date.tm_mon + 1))-\(padded(date.tm_mday)), Linux \(kernel), \
      \(sysconf(Int32(_SC_NPROCESSORS_ONLN))) processors for all hosts, load average \
      \((try? Files.read("/proc/loadavg").split(separator: " ").first.map(String.init)) ?? "unknown") at the start. \
      Medians of \(rounds) rounds of \(Measure.rounded(seconds, 10)) s each, all subjects in turn.

      """
  }

  /// The traffic of all subjects. Ratios are medians of the ratios within a round: what disturbs a round disturbs all of it.
  mutating func add(_ congestionControl: String, _ subjects: [(name: String, numbers: Measurements)]) {
    var rows = [["\(congestionControl)"] + subjects.map(\.name)]
    let names = subjects.map(\.name)
    let reference = subjects.first { $0.name == "reference gate" }?.numbers
    let before = subjects.first { $0.name == "Holdfast before" }?.numbers
    let holdfast = subjects.first { $0.name == "Holdfast" }?.numbers
    if names.contains("Holdfast before") { rows[0].append("Holdfast / before") }
    rows[0] += ["Holdfast / reference", "target", "met"]
    for measure in Measure.all {
      var row = [measure.name]
      for subject in subjects { row.append(measure.text(Measurements.middle(measure.values(subject.numbers)))) }
      if let before, let holdfast { row.append(Self.text(Self.ratio(measure, holdfast, before))) }
      let ratio = reference.flatMap { reference in holdfast.map { Self.ratio(measure, $0, reference) } } ?? .nan
      row.append(Self.text(ratio))
      row += verdict(
        "\(measure.name) with \(congestionControl)", measure.target?.text, measure.target?.isMet(by: ratio))
      rows.append(row)
    }
    table(rows)
  }

  /// The same, with the ratios of all subjects behind `base` to it.
  mutating func add(
    _ congestionControl: String, _ subjects: [(name: String, numbers: Measurements)], comparedWith base: String
  ) {
    guard let index = subjects.firstIndex(where: { $0.name == base }) else { return }
    let compared = subjects[(index + 1)...]
    var rows = [[congestionControl] + subjects.map(\.name) + compared.map { "\($0.name) / \(base)" }]
    for measure in Measure.all {
      rows.append(
        [measure.name] + subjects.map { measure.text(Measurements.middle(measure.values($0.numbers))) }
          + compared.map { Self.text(Self.ratio(measure, $0.numbers, subjects[index].numbers)) })
    }
    table(rows)
  }

  private static func ratio(_ measure: Measure, _ over: Measurements, _ under: Measurements) -> Double {
    Measurements.middle(zip(measure.values(over), measure.values(under)).map { $0 / $1 })
  }

  private static func text(_ ratio: Double) -> String { Measure.rounded(ratio, 100) }

  /// One line for each thing that is measured by itself.
  mutating func add(_ title: String, columns: [String], _ lines: [(cells: [String], target: String, isMet: Bool)]) {
    var rows = [[title] + columns + ["target", "met"]]
    for line in lines { rows.append(line.cells + verdict("\(title): \(line.cells[0])", line.target, line.isMet)) }
    table(rows)
  }

  /// What has no target.
  mutating func add(_ title: String, columns: [String], _ lines: [[String]]) { table([[title] + columns] + lines) }

  mutating func note(_ line: String) { text += "\n\(line)\n" }

  private mutating func verdict(_ name: String, _ target: String?, _ isMet: Bool?) -> [String] {
    guard let target, let isMet else { return ["", ""] }
    if !isMet { missed.append(name) }
    return [target, isMet ? "yes" : "no"]
  }

  private mutating func table(_ rows: [[String]]) {
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    func line(_ cells: [String], filledWith fill: Character = " ") -> String {
      let padded = zip(cells, widths).map { $0 + String(repeating: fill, count: $1 - $0.count) }
      return "| \(padded.joined(separator: " | ")) |\n"
    }
    text += "\n" + line(rows[0]) + line(rows[0].map { _ in "" }, filledWith: "-")
    for row in rows.dropFirst() { text += line(row) }
  }
}
