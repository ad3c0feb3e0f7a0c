/// Where a session goes on, out of nothing but the offsets of its two legs.
///
/// The output of one leg is the input of the other; the back leg's begins with the PROXY header, which is nobody's input. So
/// what has left on one leg says how much of the other's input is dealt with, wherever that was held when the host died.
struct ResumePoint: Equatable {
  /// What the daemon says of one leg: where its input begins, and where its output ends. Stream bytes since registration.
  struct Leg: Equatable {
    var consumed: Int
    var sent: Int
  }

  /// The first input bytes of the front leg that the server has been sent already.
  let frontSkip: Int
  let backSkip: Int
  /// The first bytes of the header that the server has been sent already.
  let headerSent: Int

  /// nil when the offsets cannot be those of one session: input is gone that the other leg has not sent.
  init?(front: Leg, back: Leg, header: Int) {
    headerSent = min(back.sent, header)
    frontSkip = max(back.sent - header, 0) - front.consumed
    backSkip = front.sent - back.consumed
    guard frontSkip >= 0, backSkip >= 0, front.consumed >= 0, back.consumed >= 0, back.sent >= 0, front.sent >= 0 else {
      return nil
    }
  }
}
