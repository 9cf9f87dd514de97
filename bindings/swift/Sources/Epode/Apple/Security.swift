// Certificates on Apple's systems: the client's, and what is made of the server's.
#if canImport(Network)
    import CryptoKit
    import Foundation
    @preconcurrency import Security

    /// A client certificate with its key, in the hands of the Security framework.
    struct PlatformIdentity: @unchecked Sendable {
        // A `SecIdentity` and a `SecCertificate` never change (Apple, "Certificate, Key, and Trust Services"): that is why it is `Sendable`.
        let identity: SecIdentity
        /// What vouches for it, without itself.
        let chain: [SecCertificate]
        let leaf: Data
        private let fields: CertificateFields

        var validFrom: Date { fields.validFrom }
        var validUntil: Date { fields.validUntil }
        var isForClients: Bool { fields.isForClients }

        init(identity: SecIdentity, chain: [SecCertificate]) throws {
            var certificate: SecCertificate?
            guard SecIdentityCopyCertificate(identity, &certificate) == errSecSuccess, let certificate else {
                throw EpodeError.configuration("the client certificate of this identity cannot be read: take another identity")
            }
            leaf = SecCertificateCopyData(certificate) as Data
            guard let fields = CertificateFields(der: leaf) else {
                throw EpodeError.configuration("the client certificate is not one that can be read: make a new one")
            }
            self.fields = fields
            self.identity = identity
            self.chain = chain
        }

        /// Not possible: an identity of Apple's comes out of a keychain or out of PKCS#12.
        init(pem _: Data, key _: Data, password _: String?) throws {
            throw EpodeError.configuration(
                "on Apple's systems a client certificate is read from PKCS#12, not from PEM: convert it with `openssl pkcs12 -export`, or take "
                    + "one from the keychain")
        }

        init(pkcs12: Data, password: String) throws {
            var items: CFArray?
            var options: [CFString: Any] = [kSecImportExportPassphrase: password]
            if #available(macOS 15, iOS 18, tvOS 18, watchOS 11, *) {
                // On macOS an import would otherwise leave the key in the user's keychain.
                options[kSecImportToMemoryOnly] = true
            }
            let status = SecPKCS12Import(pkcs12 as CFData, options as CFDictionary, &items)
            switch status {
            case errSecSuccess: break
            case errSecAuthFailed, errSecPkcs12VerifyFailure:
                throw EpodeError.configuration("the client certificate cannot be opened: its password is wrong")
            default:
                let why = SecCopyErrorMessageString(status, nil) as String? ?? "error \(status)"
                throw EpodeError.configuration("the client certificate cannot be read from PKCS#12: \(why)")
            }
            guard let item = (items as? [[CFString: Any]])?.first, let found = item[kSecImportItemIdentity] else {
                throw EpodeError.configuration("the PKCS#12 file has no private key with its certificate: export both together")
            }
            let all = item[kSecImportItemCertChain] as? [SecCertificate] ?? []
            // The cast cannot fail: it is what is behind this key (Apple, "kSecImportItemIdentity").
            try self.init(identity: found as! SecIdentity, chain: Array(all.dropFirst()))
        }
    }

    extension ClientIdentity {
        /// One of a keychain, or of a profile that an organisation installed. `chain`: what vouches for it, without itself.
        ///
        /// - Throws: ``EpodeError/configuration(_:)`` if its certificate cannot be read.
        public init(identity: SecIdentity, chain: [SecCertificate] = []) throws {
            try self.init(platform: PlatformIdentity(identity: identity, chain: chain))
        }
    }

    /// Finds out whether this is the server, and gives its certificate in DER. May take as long as revocation checks of the system take.
    func verify(_ trust: SecTrust, _ serverName: String, _ authorities: Trust) -> Result<Data, LinkFailure> {
        SecTrustSetPolicies(trust, SecPolicyCreateSSL(true, serverName as CFString))
        if case .authorities(let pem) = authorities {
            guard let ders = certificates(inPEM: pem) else {
                return .failure(.certificateRejected("the authorities to be trusted are not certificates in PEM"))
            }
            let anchors = ders.compactMap { SecCertificateCreateWithData(nil, $0 as CFData) }
            guard anchors.count == ders.count else {
                return .failure(.certificateRejected("one of the authorities to be trusted is not a certificate"))
            }
            guard SecTrustSetAnchorCertificates(trust, anchors as CFArray) == errSecSuccess,
                SecTrustSetAnchorCertificatesOnly(trust, true) == errSecSuccess
            else { return .failure(.certificateRejected("the authorities to be trusted were not accepted by the system")) }
        }
        var error: CFError?
        guard SecTrustEvaluateWithError(trust, &error) else {
            return .failure(.certificateRejected(error.map { ($0 as any Error).localizedDescription } ?? "it is not trusted"))
        }
        guard let leaf = (SecTrustCopyCertificateChain(trust) as? [SecCertificate])?.first else {
            return .failure(.certificateRejected("there is none"))
        }
        return .success(SecCertificateCopyData(leaf) as Data)
    }

    /// `tls-server-end-point` (RFC 5929 §4.1) of a server's certificate in DER.
    func serverEndPoint(_ der: Data) -> Data? {
        switch CertificateFields(der: der)?.endPointHash {
        case .sha256: Data(SHA256.hash(data: der))
        case .sha384: Data(SHA384.hash(data: der))
        case .sha512: Data(SHA512.hash(data: der))
        case nil: nil
        }
    }

    /// What Secure Transport's error numbers say ("Secure Transport result codes"), which all of Apple's TLS still reports.
    func tlsFailure(_ status: Int) -> LinkFailure {
        // The alert of the server, by RFC 8446 §6 and RFC 5246 §7.2.
        let alerts: [Int: UInt8] = [
            -9819: 10, -9820: 20, -9821: 21, -9822: 22, -9823: 30, -9824: 40, -9825: 42, -9826: 43, -9827: 44, -9828: 45, -9829: 46,
            -9830: 47, -9831: 48, -9832: 49, -9833: 50, -9834: 51, -9835: 60, -9836: 70, -9837: 71, -9838: 80, -9839: 90, -9840: 100,
        ]
        if let alert = alerts[status] { return .tlsAlert(alert) }
        switch status {
        case -9807: return .certificateRejected("its chain is not valid")
        case -9808: return .certificateRejected("its format is bad")
        case -9812: return .certificateRejected("nobody trusted vouches for it")
        case -9813: return .certificateRejected("its root is missing")
        case -9814: return .certificateRejected("it has expired")
        case -9815: return .certificateRejected("it is not valid yet")
        case -9843: return .certificateRejected("it is for another name")
        case -9805, -9806, -9816: return .reset
        default: return .other("TLS failed with error \(status)")
        }
    }
#endif
