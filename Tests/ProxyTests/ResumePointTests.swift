import Testing

@testable import HoldfastProxy
