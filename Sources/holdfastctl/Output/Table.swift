/// Rows in columns that are as wide as they need to be; two blanks between them.
struct Table: CustomStringConvertible {
  enum Column {
    case left(String)
    case right(String)

    var title: String {
      switch self {
      case .left(let title), .right(let title): title
      }
    }
  }

  private let columns: [Column]
  private var rows: [[String]]

  init(_ columns: [Column]) {
    self.columns = columns
    rows = [columns.map(\.title)]
  }

  mutating func append(_ row: [String]) { rows.append(row) }

  var description: String {
    let widths = columns.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      let line = columns.indices.map { column in
        let blanks = String(repeating: " ", count: widths[column] - row[column].count)
        return switch columns[column] {
        case .left: row[column] + blanks
        case .right: blanks + row[column]
        }
      }.joined(separator: "  ")
      return String(line.reversed().drop { $0 == " " }.reversed())
    }.joined(separator: "\n")
  }
}
