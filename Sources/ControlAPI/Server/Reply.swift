public import SystemCalls

/// The answer to one call, whenever it is known. Keep it and answer later, or answer at once; it may be copied.
///
/// Answering never calls the handler back, not even when the client turns out to be gone.
public struct Reply<Parameters: Encodable> {
  let call: PendingCall

  public var client: ControlClient { call.client }

  /// Nobody waits for the answer any more.
  public var isCancelled: Bool { call.isCancelled }

  /// Called when the client goes before the last reply was given.
  public var onHangup: (() -> Void)? {
    get { call.onHangup }
    nonmutating set { call.onHangup = newValue }
  }

  /// - Parameter continues: another reply to the same call will follow. Only calls that said `more` get more than one.
  /// - Returns: whether the client can still get it; false also when it was answered before.
  @discardableResult
  public func succeed(_ parameters: Parameters, continues: Bool = false) -> Bool {
    answer(parameters, descriptor: nil, continues: continues)
  }

  /// The call failed; this is the last reply.
  @discardableResult
  public func fail(_ error: ControlError) -> Bool {
    guard let bytes = try? VarlinkCodec.encodeError(error) else { return call.abandon() }
    return call.answer(OutgoingMessage(bytes, descriptor: nil), isLast: true)
  }

  private func answer(_ parameters: Parameters, descriptor: SharedDescriptor?, continues: Bool) -> Bool {
    let continues = continues && call.wantsMore
    guard let bytes = try? VarlinkCodec.encodeReply(parameters, continues: continues) else { return call.abandon() }
    return call.answer(OutgoingMessage(bytes, descriptor: descriptor), isLast: !continues)
  }
}

extension Reply where Parameters: DescriptorCarrying {
  /// As `succeed`, with a descriptor that travels with the reply; fills in its index. The kernel makes the client's from it, so none
  /// is opened here.
  @discardableResult
  public func succeed(_ parameters: Parameters, descriptor: SharedDescriptor, continues: Bool = false) -> Bool {
    var parameters = parameters
    parameters.fd = 0
    return answer(parameters, descriptor: descriptor, continues: continues)
  }
}

extension Reply where Parameters == VarlinkCodec.NoParameters {
  @discardableResult
  public func succeed() -> Bool { succeed(VarlinkCodec.NoParameters()) }
}
