internal import Glibc
internal import LinuxNetwork
package import Logging

/// Takes service addresses off this host that no daemon sees to.
package enum AddressWithdrawal {
  /// Removes every address that it can, and logs each.
  /// - Returns: pairs with the addresses that are still there.
  package static func remove(
    _ pairs: [RuntimeState.Pair], because reason: String, logger: Logger
  ) -> [RuntimeState.Pair] {
    let manager: AddressManager
    do throws(AddressError) { manager = try AddressManager() } catch {
      logger.error("cannot remove the service addresses", metadata: ["error": "\(error)"])
      return pairs
    }
    return pairs.compactMap { pair in
      var rest = pair
      rest.addresses = pair.addresses.filter { !remove($0, manager, pair.name, reason, logger) }
      return rest.addresses.isEmpty ? nil : rest
    }
  }

  /// - Returns: whether the address is gone.
  private static func remove(
    _ address: ServiceAddress, _ manager: AddressManager, _ pair: String, _ reason: String, _ logger: Logger
  ) -> Bool {
    // With its interface an address goes, too.
    guard if_nametoindex(address.interface) != 0 else { return true }
    do throws(AddressError) {
      try manager.remove(address)
      logger.event(
        .addressMoved, "address removed: \(reason)", metadata: ["pair": "\(pair)", "address": "\(address)"])
      return true
    } catch {
      logger.error(
        "cannot remove the address", metadata: ["pair": "\(pair)", "address": "\(address)", "error": "\(error)"])
      return false
    }
  }
}
