// Client certificates and trust, as OpenSSL keeps them.
#if os(Linux)
    import CEpodeLinux
    import Foundation

    /// A certificate with its chain and key. Nothing changes it once it is made.
    struct PlatformIdentity: Sendable {
        final class Handle: @unchecked Sendable {
            let pointer: OpaquePointer

            init(_ pointer: OpaquePointer) {
                self.pointer = pointer
            }

            deinit { epode_identity_free(pointer) }
        }

        let handle: Handle
        let leaf: Data
        let validFrom: Date
        let validUntil: Date
        let isForClients: Bool

        init(pem certificate: Data, key: Data, password: String?) throws {
            try self.init { why, size in
                certificate.withUnsafeBytes { certificate in
                    key.withUnsafeBytes { key in
                        epode_identity_from_pem(
                            certificate.baseAddress?.assumingMemoryBound(to: UInt8.self), certificate.count,
                            key.baseAddress?.assumingMemoryBound(to: UInt8.self), key.count, password, why, size)
                    }
                }
            }
        }

        init(pkcs12: Data, password: String) throws {
            try self.init { why, size in
                pkcs12.withUnsafeBytes {
                    epode_identity_from_pkcs12($0.baseAddress?.assumingMemoryBound(to: UInt8.self), $0.count, password, why, size)
                }
            }
        }

        private init(_ make: (UnsafeMutablePointer<CChar>, Int) -> OpaquePointer?) throws {
            let pointer = try explained("the client certificate cannot be used", make)
            handle = Handle(pointer)
            var leaf = Data(count: epode_identity_leaf(pointer, nil))
            leaf.withUnsafeMutableBytes { _ = epode_identity_leaf(pointer, $0.baseAddress?.assumingMemoryBound(to: UInt8.self)) }
            self.leaf = leaf
            validFrom = Date(timeIntervalSince1970: TimeInterval(epode_identity_valid_from(pointer)))
            validUntil = Date(timeIntervalSince1970: TimeInterval(epode_identity_valid_until(pointer)))
            isForClients = epode_identity_is_for_clients(pointer)
        }
    }

    /// Who may vouch for a server.
    final class Authorities: @unchecked Sendable {
        let pointer: OpaquePointer

        init(_ trust: Trust) throws {
            pointer =
                switch trust {
                case .system: try explained("the system's authorities cannot be used") { epode_trust(nil, 0, $0, $1) }
                case .authorities(let pem):
                    try explained("the authorities that are to be trusted cannot be used") { why, size in
                        pem.withUnsafeBytes { epode_trust($0.baseAddress?.assumingMemoryBound(to: UInt8.self), $0.count, why, size) }
                    }
                }
        }

        deinit { X509_STORE_free(pointer) }
    }

    private func explained(_ what: String, _ make: (UnsafeMutablePointer<CChar>, Int) -> OpaquePointer?) throws -> OpaquePointer {
        try withUnsafeTemporaryAllocation(of: CChar.self, capacity: 160) { why in
            why.initialize(repeating: 0)
            guard let base = why.baseAddress, let pointer = make(base, why.count) else {
                let reason = why.baseAddress.map { String(cString: $0) } ?? ""
                throw EpodeError.configuration("\(what): \(reason.isEmpty ? "there is no memory" : reason)")
            }
            return pointer
        }
    }

    extension LinkFacts {
        /// What a handshake showed.
        init(_ facts: epode_facts, name: String, request: LinkRequest) {
            self.init(isEncrypted: true, verifiedName: name)
            tlsVersion = facts.versionName
            clientCertificateRequested = facts.certificate_requested
            clientCertificate = request.identity?.certificate
            applicationProtocol = bytes(of: facts.alpn) { bytes in
                let text = bytes.prefix { $0 != 0 }
                return text.isEmpty ? nil : String(decoding: text, as: UTF8.self)
            }
            channelBindings.exporter = bytes(of: facts.exporter) { $0.value(facts.exporter_size) }
            channelBindings.unique = bytes(of: facts.unique) { $0.value(facts.unique_size) }
            channelBindings.serverEndPoint = bytes(of: facts.end_point) { $0.value(facts.end_point_size) }
        }
    }

    extension epode_facts {
        var versionName: String? {
            switch version {
            case 0x0303: "1.2"
            case 0x0304: "1.3"
            default: nil
            }
        }

        var certificateSHA256: Data? {
            has_certificate ? bytes(of: certificate_sha256) { Data($0) } : nil
        }
    }

    /// An array of C, which Swift sees as a tuple.
    private func bytes<Tuple, T>(of tuple: Tuple, _ body: (UnsafeRawBufferPointer) -> T) -> T {
        withUnsafeBytes(of: tuple, body)
    }

    extension UnsafeRawBufferPointer {
        fileprivate func value(_ size: Int) -> Data? {
            size == 0 ? nil : Data(prefix(size))
        }
    }
#endif
