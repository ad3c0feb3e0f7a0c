internal import Pairing
internal import Replication

/// What is to be done inside the core, or outside of it.
enum Step {
  case effect(Host.Effect)
  case react(PairMachine.Event)
  case action(PairMachine.Action)
  case openGate
  case shutGate
  /// What waits at the gate is forgotten, and dropped.
  case dropHeld
  case goodbye(Goodbye)
  case endStandby(String)
  case endFollowing
  case takeOver(PairMachine.Takeover)
  /// - Parameter observed: ns since the last time in which this host ran.
  case watch(observed: UInt64)
  case renewSpeech
  case checkMove
  case checkRestart
  case end
}
