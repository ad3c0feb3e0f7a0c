internal import NIOCore

/// Turns what happens on a leg's channel into calls of its session.
final class LegHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let side: SessionKey.Side
  private let session: Session
  private var failure: (any Error)?

  init(_ side: SessionKey.Side, of session: Session) {
    self.side = side
    self.session = session
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) { session.received(unwrapInboundIn(data), on: side) }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if let event = event as? ChannelEvent, event == .inputClosed { session.ended(side) }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { failure = error }

  func channelInactive(context: ChannelHandlerContext) {
    session.closed(side, failure)
    context.fireChannelInactive()
  }
}
