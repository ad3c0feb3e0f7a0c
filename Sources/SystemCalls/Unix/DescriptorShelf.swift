internal import CLinux
internal import Glibc
internal import SystemPackage

/// Descriptors behind one, like a `DescriptorParcel`, but what lies there changes all the time: each has a note that says what it is,
/// and is put there and taken away by a key.
///
/// They lie in the queues of unix sockets (drawers), a few in each, and the drawers in the queue of one more. Whoever keeps that one
/// keeps them all, whatever becomes of this process: at every moment everything that was put there and not taken away is there, some
/// of it perhaps twice.
public final class DescriptorShelf {
  /// A queue can be changed at its ends alone, so a drawer with something to take away is gone through as a whole.
  private static let drawerSize = 8
  /// Longest note, bytes: a queue of the default size has room for one in every place of a drawer.
  public static let noteLimit = 16 << 10

  private final class Drawer {
    /// Descriptors go in here …
    let entrance: Descriptor
    /// … and come out here. A duplicate lies in the root.
    let exit: Descriptor
    /// What lies there, in order; nil for what is to be taken away.
    var keys: [UInt64?] = []
    var isDirty = false
    var isRoomy = true

    init() throws(SystemCallError) {
      var ends: [Int32] = [-1, -1]
      let kind = Int32(SOCK_SEQPACKET.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
      try systemCall("socketpair") { socketpair(AF_UNIX, kind, 0, &ends) }
      exit = Descriptor(owning: ends[0])
      entrance = Descriptor(owning: ends[1])
    }
  }

  /// A descriptor from a shelf, and its note.
  public struct Entry: ~Copyable {
    public let note: [UInt8]
    /// What came with it; none is a note alone.
    public var descriptors: ReceivedDescriptors
  }

  /// The drawers themselves lie here.
  private let cabinet: Drawer
  /// Where each key's descriptor is, and its number: its owner has it open for as long as it lies here.
  private var places: [UInt64: (drawer: Drawer, descriptor: Int32?)] = [:]
  private var roomy: [Drawer] = []
  private var dirty: [Drawer] = []
  private let space = UnsafeMutableRawBufferPointer.allocate(byteCount: noteLimit, alignment: 16)

  public init() throws(SystemCallError) {
    cabinet = try Drawer()
    // One place for each drawer; where more is not permitted, the default has room for a few hundred.
    var room: Int32 = 64 << 20
    _ = setsockopt(cabinet.entrance.number, SOL_SOCKET, SO_SNDBUFFORCE, &room, socklen_t(MemoryLayout<Int32>.size))
  }

  deinit { space.deallocate() }

  /// What is to be kept, so that all of it is.
  public var root: Int32 { cabinet.exit.number }
  /// How many keys there are.
  public var count: Int { places.count }

  /// Puts a note there, and a descriptor with it; what its key had before goes at the next `tidy`.
  /// - Parameter descriptor: stays open for as long as its key is there.
  /// - Throws: ETOOMANYREFS beyond RLIMIT_NOFILE, ENOBUFS when there is no room; EMSGSIZE for a note over `noteLimit`. Then what the key
  ///   had before is still there.
  public func put(_ key: UInt64, note: [UInt8], descriptor: Int32? = nil) throws(SystemCallError) {
    guard note.count <= Self.noteLimit else {
      throw SystemCallError("put(\(note.count) bytes)", on: "shelf", errno: .init(rawValue: EMSGSIZE))
    }
    let drawer = try drawerWithRoom()
    try note.withUnsafeBytes { note in
      Result { () throws(SystemCallError) in try Self.add(note, descriptor, to: drawer) }
    }.get()
    remove(key)
    drawer.keys.append(key)
    places[key] = (drawer, descriptor)
    if drawer.keys.count == Self.drawerSize {
      drawer.isRoomy = false
      roomy.removeLast()
    }
  }

  /// From the next `tidy` on it is not there any more.
  public func remove(_ key: UInt64) {
    guard let drawer = places.removeValue(forKey: key)?.drawer, let position = drawer.keys.firstIndex(of: key) else {
      return
    }
    drawer.keys[position] = nil
    guard !drawer.isDirty else { return }
    drawer.isDirty = true
    dirty.append(drawer)
  }

  /// Takes away what was removed: what stays in a drawer goes in once more, and then everything that was there comes out.
  public func tidy() throws(SystemCallError) {
    while let drawer = dirty.last {
      for key in drawer.keys {
        if let key, let place = places[key] {
          let count = try receive(from: drawer, peeking: true)
          try Self.add(UnsafeRawBufferPointer(rebasing: space[..<count]), place.descriptor, to: drawer)
          drawer.keys.append(key)
        }
        _ = try receive(from: drawer, peeking: false)
        drawer.keys.removeFirst()
      }
      drawer.isDirty = false
      dirty.removeLast()
      if !drawer.isRoomy, drawer.keys.count < Self.drawerSize {
        drawer.isRoomy = true
        roomy.append(drawer)
      }
    }
  }

  /// Everything on a shelf whose root was kept. It is empty then.
  /// - Parameter take: called for each entry.
  public static func empty(_ root: Int32, _ take: (consuming Entry) -> Void) throws(DescriptorPassingError) {
    var drawers = ReceivedDescriptors()
    let space = UnsafeMutableRawBufferPointer.allocate(byteCount: noteLimit, alignment: 16)
    defer { space.deallocate() }
    while let count = try DescriptorPassing.receive(into: space, adding: &drawers, over: root), count > 0 {}
    for index in 0..<drawers.count {
      guard let drawer = drawers.take(at: index) else { continue }
      while true {
        var descriptors = ReceivedDescriptors()
        guard let count = try DescriptorPassing.receive(into: space, adding: &descriptors, over: drawer.number),
          count > 0
        else { break }
        take(Entry(note: Array(space[..<count]), descriptors: descriptors))
      }
    }
  }

  /// The last of those that have room.
  private func drawerWithRoom() throws(SystemCallError) -> Drawer {
    if let drawer = roomy.last { return drawer }
    let drawer = try Drawer()
    try [0].withUnsafeBytes { note in
      Result { () throws(SystemCallError) in try Self.add(note, drawer.exit.number, to: cabinet) }
    }.get()
    roomy.append(drawer)
    return drawer
  }

  private static func add(_ note: UnsafeRawBufferPointer, _ descriptor: Int32?, to drawer: Drawer)
    throws(SystemCallError)
  {
    let descriptors = descriptor.map { [$0] } ?? []
    guard try DescriptorPassing.send(note, descriptors: descriptors, over: drawer.entrance.number) != nil else {
      throw SystemCallError("sendmsg", on: "shelf", errno: .noBufferSpace)
    }
  }

  /// The first note in a drawer. Its descriptor is not received: the kernel closes it, or leaves it where it is.
  private func receive(from drawer: Drawer, peeking: Bool) throws(SystemCallError) -> Int {
    let flags = Int32(MSG_DONTWAIT) | (peeking ? Int32(MSG_PEEK) : 0)
    return try systemCall("recv") { recv(drawer.exit.number, space.baseAddress, space.count, flags) }
  }
}
