import Glibc
import SystemPackage
import Testing

@testable import TLSTransport

@Suite struct IdentityTests {
  /// A folder that goes away with the test.
  private final class Folder {
    let path: String
    init() throws {
      var template = Array("/tmp/holdfast-tls-XXXXXX".utf8CString)
      try #require(mkdtemp(&template) != nil)
      path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
    deinit {
      for name in ["key", "crt"] { unlink("\(path)/\(name)") }
      rmdir(path)
    }
    var key: String { "\(path)/key" }
    var certificate: String { "\(path)/crt" }

    func generate(days: Int = 30, overwrite: Bool = false) throws(TLSIdentityError) -> Fingerprint {
      try KeyGeneration.write(
        certificatePath: certificate, keyPath: key, days: days, overwrite: overwrite, owner: "nobody-of-that-name")
    }
    func load() throws(TLSIdentityError) -> TLSIdentity {
      try TLSIdentity(certificatePath: certificate, keyPath: key)
    }
    func mode(_ path: String) -> mode_t? {
      var status = stat()
      return stat(path, &status) == 0 ? status.st_mode & 0o7777 : nil
    }
  }

  @Test func whatIsGeneratedCanBeUsedAndIsTheOwnersAlone() throws {
    let folder = try Folder()
    let fingerprint = try folder.generate(days: 30)
    let identity = try folder.load()
    #expect(identity.fingerprint == fingerprint)
    #expect(identity.validity == .valid(days: 30) || identity.validity == .valid(days: 29))
    #expect(folder.mode(folder.key) == 0o600)
    #expect(folder.mode(folder.certificate) == 0o644)
    #expect(identity.encodedCertificate.count < 600)
  }

  @Test func nothingIsOverwrittenUnasked() throws {
    let folder = try Folder()
    let first = try folder.generate()
    #expect(throws: TLSIdentityError.key(.unwritable(.fileExists))) { try folder.generate() }
    #expect(try folder.load().fingerprint == first)
    unlink(folder.key)
    #expect(throws: TLSIdentityError.certificate(.unwritable(.fileExists))) { try folder.generate() }
    #expect(folder.mode(folder.key) == nil, "half of a pair was left")
    let second = try folder.generate(overwrite: true)
    #expect(try folder.load().fingerprint == second)
    #expect(second != first)
  }

  @Test func aFolderThatIsNotThereIsNamedAsSuch() throws {
    let error = #expect(throws: TLSIdentityError.self) {
      try KeyGeneration.write(
        certificatePath: "/nowhere/crt", keyPath: "/nowhere/key", days: 1, overwrite: false, owner: "")
    }
    #expect(error == .key(.unwritable(.noSuchFileOrDirectory)))
  }

  @Test(arguments: [(0o644, false), (0o604, false), (0o660, false), (0o640, true), (0o600, true), (0o400, true)])
  func aKeyThatOthersCouldHaveReadIsRefused(_ mode: Int, _ isGood: Bool) throws {
    let folder = try Folder()
    _ = try folder.generate()
    chmod(folder.key, mode_t(mode))
    if isGood {
      _ = try folder.load()
    } else {
      #expect(throws: TLSIdentityError.key(.permissions(mode: UInt32(mode)))) { try folder.load() }
    }
  }

  @Test func whatIsNotAKeyOrACertificateIsSaidToBeNone() throws {
    let folder = try Folder()
    #expect(throws: TLSIdentityError.certificate(.unreadable(.noSuchFileOrDirectory))) { try folder.load() }
    let good = try KeyGeneration.make(validFrom: 0, for: 60), other = try KeyGeneration.make(validFrom: 0, for: 60)
    func load(_ certificate: [UInt8], _ key: [UInt8]) throws(TLSIdentityError) {
      _ = try TLSIdentity(certificate: certificate, key: key)
    }
    #expect(throws: TLSIdentityError.certificate(.noCertificate)) { try load([], good.key) }
    #expect(throws: TLSIdentityError.certificate(.noCertificate)) { try load(good.key, good.key) }
    #expect(throws: TLSIdentityError.certificate(.noCertificate)) {
      try load(Array(good.certificate.prefix(200)), good.key)
    }
    #expect(throws: TLSIdentityError.key(.noKey)) { try load(good.certificate, good.certificate) }
    #expect(throws: TLSIdentityError.key(.mismatch)) { try load(good.certificate, other.key) }
    let locked = Array("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n".utf8)
    #expect(throws: TLSIdentityError.key(.encrypted)) { try load(good.certificate, locked) }
  }

  @Test func fingerprintsAreReadAsTheyAreWritten() throws {
    let fingerprint = Fingerprint(of: [1, 2, 3])
    let text = "\(fingerprint)"
    // The SHA-256 of 01 02 03.
    #expect(text == "sha256:039058c6f2c0cb492c533b0a4d14ef77cc0f78abccced5287d84a1a2011cfb81")
    let digits = text.dropFirst(7)
    #expect(Fingerprint(text) == fingerprint)
    #expect(Fingerprint(String(digits)) == fingerprint)
    #expect(Fingerprint(digits.uppercased()) == fingerprint)
    // As openssl x509 -fingerprint shows it.
    let pairs = stride(from: 0, to: 64, by: 2).map { String(digits.dropFirst($0).prefix(2)).uppercased() }
    #expect(Fingerprint(pairs.joined(separator: ":")) == fingerprint)
    for wrong in ["", "sha256:", String(text.dropLast()), text + "0", "md5:" + digits, "g" + digits.dropFirst()] {
      #expect(Fingerprint(wrong) == nil, "\(wrong)")
    }
  }
}
