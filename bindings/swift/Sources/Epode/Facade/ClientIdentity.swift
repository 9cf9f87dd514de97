// A client certificate with its private key, as the platform keeps it.
import Foundation

/// A client certificate with its chain and its private key, for SASL EXTERNAL and for servers that want one on each connection.
///
/// The key stays in the platform's TLS library: neither the engine nor a description of this sees it.
public struct ClientIdentity: Sendable {
    let platform: PlatformIdentity

    init(platform: PlatformIdentity) {
        self.platform = platform
    }

    /// A certificate in PEM, with what vouches for it behind it, and its private key in PEM. Without `key`, the key is among the
    /// certificates. `password` opens a key that is encrypted.
    ///
    /// - Throws: ``EpodeError/configuration(_:)`` if they cannot be read or do not belong together.
    public init(pem certificate: Data, key: Data? = nil, password: String? = nil) throws {
        platform = try PlatformIdentity(pem: certificate, key: key ?? certificate, password: password)
    }

    /// What `.p12` and `.pfx` files hold.
    ///
    /// - Throws: ``EpodeError/configuration(_:)`` if it cannot be read; the wrong password for example.
    public init(pkcs12: Data, password: String) throws {
        platform = try PlatformIdentity(pkcs12: pkcs12, password: password)
    }

    /// Files of PEM. Without `key`, the key is in the first.
    public init(pemFile certificate: URL, keyFile key: URL? = nil, password: String? = nil) throws {
        try self.init(pem: contents(certificate, "the certificate"), key: key.map { try contents($0, "the key") }, password: password)
    }

    /// A file of PKCS#12.
    public init(pkcs12File file: URL, password: String) throws {
        try self.init(pkcs12: contents(file, "the certificate"), password: password)
    }

    /// The certificate, in DER.
    public var certificate: Data { platform.leaf }

    /// Refuses what a server would refuse, often without a word.
    func check(now: Date = Date()) throws {
        if now < platform.validFrom {
            throw EpodeError.configuration(
                "the client certificate is valid only from \(platform.validFrom): check the clock of this machine, no connection was made")
        }
        if now > platform.validUntil {
            throw EpodeError.configuration(
                "the client certificate expired on \(platform.validUntil): a new one is needed, no connection was made")
        }
        // RFC 5280 §4.2.1.12: a certificate that says what it is for is for nothing else.
        if !platform.isForClients {
            throw EpodeError.configuration(
                "the client certificate is not meant for logging in: its extended key usage lacks clientAuth, so servers refuse it; one "
                    + "with that usage is needed, no connection was made")
        }
    }
}

extension ClientIdentity: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "ClientIdentity(valid until \(platform.validUntil))" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: ["validUntil": platform.validUntil]) }
}

/// A file, or a sentence that names it.
func contents(_ file: URL, _ what: String) throws -> Data {
    do {
        return try Data(contentsOf: file)
    } catch let error as CocoaError where error.code == .fileReadNoSuchFile || error.code == .fileNoSuchFile {
        throw EpodeError.configuration("\(what) cannot be read: there is no file \(file.path)")
    } catch {
        throw EpodeError.configuration("\(what) cannot be read from \(file.path): \(error.localizedDescription)")
    }
}
