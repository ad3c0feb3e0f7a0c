import Pairing

extension Verb {
  /// Nothing passes between the arbiter and a host, or it does again; or its messages take longer.
  static let arbiter = Verb(form: "arbiter gone|back [for HOST], arbiter takes N [for HOST]") { words, driver in
    let words = words.map(String.init)
    guard words.count >= 2, words[0] == "arbiter" else { return false }
    if words.count == 3 || words.count == 5, words[1] == "takes", let delay = UInt64(words[2]) {
      guard words.count == 3 || (words[3] == "for" && Driver.names.contains(words[4])) else { return false }
      for host in words.count == 5 ? [words[4]] : Driver.names { driver.arbiter.delays[host] = delay }
    } else {
      guard words.count == 2 || (words.count == 4 && words[2] == "for" && Driver.names.contains(words[3])) else {
        return false
      }
      let hosts = words.count == 4 ? [words[3]] : Driver.names
      switch words[1] {
      case "gone": driver.arbiter.unreachable.formUnion(hosts)
      case "back": driver.arbiter.unreachable.subtract(hosts)
      default: return false
      }
    }
    driver.note("", words.joined(separator: " "))
    return true
  }

  /// What a look at the network shows from now on.
  static let network = Verb(form: "network objects WORDS, network agrees") { words, driver in
    let words = words.map(String.init)
    guard words.count >= 2, words[0] == "network" else { return false }
    switch (words[1], words.count) {
    case ("objects", 3...): driver.objection = words[2...].joined(separator: " ")
    case ("agrees", 2): driver.objection = nil
    default: return false
    }
    driver.note("", words.joined(separator: " "))
    return true
  }
}
