internal import Glibc

/// Standard output, a line at a time, from any thread.
enum Console {
  static func line(_ text: String) {
    let bytes = Array("\(text)\n".utf8)
    _ = write(1, bytes, bytes.count)
  }
}
