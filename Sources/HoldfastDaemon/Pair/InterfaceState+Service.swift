internal import LinuxNetwork
internal import TCPModel

/// What an interface's state means for a service address on it.
extension InterfaceState {
  /// Whether the address is here as the daemon adds it, or as near to it as the host's own address of the same name allows.
  func has(_ address: ServiceAddress) -> Bool {
    guard let found = assigned(address), !found.isUnusable else { return false }
    guard address.address.isIPv6 else { return found.prefixLength == address.prefixLength }
    return found.prefixLength != address.prefixLength || (found.isDeprecated && found.isPermanent)
  }

  /// Frames leave and arrive, and for a time since the state before they did not.
  func hasComeBack(since before: InterfaceState?) -> Bool {
    guard isRunning, let before else { return isRunning }
    return !before.isRunning || before.index != index || before.carrierChanges != carrierChanges
  }

  /// Whether an IPv4 service address, or another one of its network, is the first there, before an address of the host's own.
  func puts(_ address: ServiceAddress, beforeOthersThan services: Set<IPAddress>) -> Bool {
    guard !address.address.isIPv6, let own = assigned(address), own.prefixLength == address.prefixLength,
      !own.isSecondary
    else { return false }
    return addresses.contains { $0.sharesNetwork(with: own) && !services.contains($0.address) }
  }

  /// Why the service address does not work here although it should; nil when it does.
  func problem(of address: ServiceAddress) -> String? {
    guard let found = assigned(address) else { return isUp ? nil : "\(address.interface) is down" }
    if found.isUnusable { return "duplicate address detection has not let it pass" }
    if !isUp { return "\(address.interface) is down" }
    if !hasCarrier { return "\(address.interface) has no carrier" }
    return found.prefixLength == address.prefixLength ? nil : "somebody else has put it here as \(found)"
  }
}

extension InterfaceState? {
  /// Why the address is not here any more, in words.
  func whatHappened(to address: ServiceAddress, since before: InterfaceState?) -> String {
    let name = address.interface
    guard let now = self else { return "there is no interface \(name)" }
    if let found = now.assigned(address) {
      return found.isUnusable ? "duplicate address detection was begun for it" : "somebody changed it"
    }
    if !now.isUp { return "\(name) went down" }
    guard let before else { return "it was not on \(name)" }
    if before.index != now.index { return "\(name) was made anew" }
    return before.carrierChanges != now.carrierChanges || !before.isUp
      ? "\(name) went down and up" : "somebody removed it from \(name)"
  }
}
