internal import Pairing

/// Who is asked before this host acts alone in a pair, and who says when the permission ends.
protocol Arbiter: AnyObject {
  /// What the machine has to know: who is asked, and how long before.
  var asks: PairMachine.Asks { get }
  /// Why it could not be asked now; nil while it can, or while that is not known.
  var problem: String? { get }
  /// The permission to speak without a standby has ended.
  var onPermissionEnded: (() -> Void)? { get set }
  /// `problem` came or went.
  var onProblem: ((String?) -> Void)? { get set }

  func start()
  /// - Parameter completion: called once, at once or later.
  func ask(_ question: PairMachine.Question, completion: @escaping (PairMachine.Answer) -> Void)
  /// After everything that may have changed it: whether this host speaks, or is about to, without a standby.
  func speaksAlone(_ alone: Bool)
  /// The daemon ends. What was won stays.
  func stop()
}
