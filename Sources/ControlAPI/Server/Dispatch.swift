internal import SystemCalls

extension ControlConnection {
  /// Gives a call to whoever answers it.
  func dispatch(_ message: MessageReader.Message, header: VarlinkCodec.CallHeader, call: PendingCall) {
    do throws(ControlError) {
      // The connection would change its protocol; none of these methods does.
      if header.upgrade ?? false { throw .invalidParameter(parameter: "upgrade") }
      let parts = header.method.split(separator: ".", omittingEmptySubsequences: false)
      switch parts.dropLast().joined(separator: ".") {
      case "org.varlink.service": try dispatchService(message, method: header.method, call: call)
      case "io.holdfast": try dispatchHoldfast(message, method: header.method, call: call)
      case let interface: throw .interfaceNotFound(interface: interface)
      }
    } catch {
      Reply<VarlinkCodec.NoParameters>(call: call).fail(error)
    }
  }

  private func dispatchService(
    _ message: MessageReader.Message, method: String, call: PendingCall
  ) throws(ControlError) {
    switch method {
    case "org.varlink.service.GetInfo":
      Reply<ServiceInfo>(call: call).succeed(info)
    case "org.varlink.service.GetInterfaceDescription":
      let parameters = try VarlinkCodec.decodeParameters(InterfaceDescriptionCall.self, of: message.bytes)
      guard let text = InterfaceDescription.text(of: parameters.interface) else {
        throw .interfaceNotFound(interface: parameters.interface)
      }
      Reply<InterfaceDescriptionReply>(call: call).succeed(InterfaceDescriptionReply(description: text))
    default:
      throw .methodNotFound(method: method)
    }
  }

  private func dispatchHoldfast(
    _ message: MessageReader.Message, method: String, call: PendingCall
  ) throws(ControlError) {
    func parameters<Value: Decodable>() throws(ControlError) -> Value {
      try VarlinkCodec.decodeParameters(Value.self, of: message.bytes)
    }
    switch method {
    case "io.holdfast.Register":
      let parameters: RegisterCall = try parameters()
      guard let descriptor = message.descriptors.take(at: parameters.fd) else {
        throw .invalidParameter(parameter: "fd")
      }
      handler.register(parameters, descriptor: descriptor, reply: Reply(call: call))
    case "io.holdfast.Adopt":
      guard call.wantsMore else { throw .expectedMore }
      handler.adopt(try parameters(), reply: Reply(call: call))
    case "io.holdfast.Release": handler.release(try parameters(), reply: Reply(call: call))
    case "io.holdfast.GetStatus": handler.getStatus(reply: Reply(call: call))
    case "io.holdfast.ListConnections": handler.listConnections(try parameters(), reply: Reply(call: call))
    case "io.holdfast.Checkpoint": handler.checkpoint(try parameters(), reply: Reply(call: call))
    case "io.holdfast.Confirm": handler.confirm(try parameters(), reply: Reply(call: call))
    case "io.holdfast.Monitor":
      guard call.wantsMore else { throw .expectedMore }
      handler.monitor(reply: Reply(call: call))
    case "io.holdfast.Switchover": handler.switchover(try parameters(), reply: Reply(call: call))
    case "io.holdfast.Promote": handler.promote(try parameters(), reply: Reply(call: call))
    case "io.holdfast.Demote": handler.demote(try parameters(), reply: Reply(call: call))
    default: throw .methodNotFound(method: method)
    }
  }
}
