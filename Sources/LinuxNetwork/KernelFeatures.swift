internal import Glibc

/// What the running kernel can do, as far as the pair must know before a takeover.
public enum KernelFeatures {
  /// Whether sockets can count timestamps in microseconds (bit 0 of TCP_TIMESTAMP, Linux 6.7).
  public static let microsecondTimestamps: Bool = release >= (6, 7)

  /// The first two numbers of uname(2)'s release; (0, 0) when they cannot be read.
  private static var release: (Int, Int) {
    var name = utsname()
    guard uname(&name) == 0 else { return (0, 0) }
    let text = withUnsafeBytes(of: &name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    let numbers = text.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
    return numbers.count == 2 ? (numbers[0], numbers[1]) : (0, 0)
  }
}
