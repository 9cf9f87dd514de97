// TCP with TLS from the start, by Network.framework.
#if canImport(Network)
    import Foundation
    @preconcurrency import Network
    @preconcurrency import Security
    import os

    /// A connection with direct TLS (XEP-0368).
    final class TCPLink: StreamLink {
        private let connection: NWConnection
        private let handshake: Handshake
        private let identity: ClientIdentity?
        private let inbox: Inbox

        /// What the handshake found, on the connection's queue.
        private final class Handshake: Sendable {
            struct Found: Sendable {
                var verifiedName: String?
                var certificate: Data?
                var rejection: LinkFailure?
                /// Set only by a server that asks.
                var wasAsked = false
            }

            let found = OSAllocatedUnfairLock(initialState: Found())
        }

        static func open(host: String, port: UInt16, request: LinkRequest) async throws -> TCPLink {
            guard let port = NWEndpoint.Port(rawValue: port) else { throw LinkFailure.other("0 is no port") }
            let queue = DispatchQueue(label: "epode.tcp"), handshake = Handshake()
            let tcp = NWProtocolTCP.Options()
            tcp.noDelay = true
            let parameters = NWParameters(tls: options(request, handshake, queue), tcp: tcp)
            parameters.preferNoProxies = true
            let connection = NWConnection(host: NWEndpoint.Host(host), port: port, using: parameters)
            let ready = Promise<Void>()
            connection.stateUpdateHandler = { state in
                switch state {
                case .ready: ready.keep(.success(()))
                // Nobody listens, or there is no network: the engine decides when to try again, not the system.
                case .waiting(let error), .failed(let error):
                    ready.keep(.failure(handshake.found.withLock(\.rejection) ?? failure(error)))
                    connection.cancel()
                case .cancelled: ready.keep(.failure(CancellationError()))
                case .setup, .preparing: break
                @unknown default: break
                }
            }
            connection.start(queue: queue)
            try await withTaskCancellationHandler {
                try await ready.value()
            } onCancel: {
                connection.cancel()
            }
            connection.stateUpdateHandler = nil
            return TCPLink(connection, handshake, request.identity)
        }

        private init(_ connection: NWConnection, _ handshake: Handshake, _ identity: ClientIdentity?) {
            self.connection = connection
            self.handshake = handshake
            self.identity = identity
            inbox = Inbox { arrived in
                connection.receive(minimumIncompleteLength: 1, maximumLength: 65_536) { data, _, isComplete, error in
                    if isComplete {
                        arrived(.success(.end(data)))
                    } else if let data, !data.isEmpty {
                        arrived(.success(.data(data)))
                    } else {
                        arrived(.failure(error.map(failure) ?? LinkFailure.reset))
                    }
                }
            }
        }

        private static func options(_ request: LinkRequest, _ handshake: Handshake, _ queue: DispatchQueue) -> NWProtocolTLS.Options {
            let tls = NWProtocolTLS.Options(), security = tls.securityProtocolOptions
            sec_protocol_options_set_min_tls_protocol_version(security, .TLSv12)
            sec_protocol_options_set_tls_resumption_enabled(security, false)
            sec_protocol_options_set_tls_tickets_enabled(security, false)
            sec_protocol_options_add_tls_application_protocol(security, "xmpp-client")
            // RFC 6066 §3: an address is not sent as a name.
            if IPv4Address(request.serverName) == nil, IPv6Address(request.serverName) == nil {
                sec_protocol_options_set_tls_server_name(security, request.serverName)
            }
            let (serverName, authorities) = (request.serverName, request.trust)
            sec_protocol_options_set_verify_block(
                security,
                { _, trust, complete in
                    let result = verify(sec_trust_copy_ref(trust).takeRetainedValue(), serverName, authorities)
                    handshake.found.withLock { found in
                        switch result {
                        case .success(let certificate):
                            found.verifiedName = serverName
                            found.certificate = certificate
                        case .failure(let rejection): found.rejection = rejection
                        }
                    }
                    complete((try? result.get()) != nil)
                }, queue)
            let platform = request.identity?.platform
            let identity = platform.flatMap { sec_identity_create_with_certificates($0.identity, $0.chain as CFArray) }
            sec_protocol_options_set_challenge_block(
                security,
                { _, complete in
                    handshake.found.withLock { $0.wasAsked = true }
                    complete(identity)
                }, queue)
            return tls
        }

        var facts: LinkFacts {
            let found = handshake.found.withLock { $0 }
            var facts = LinkFacts(isEncrypted: true, verifiedName: found.verifiedName)
            facts.clientCertificateRequested = found.wasAsked
            facts.clientCertificate = identity?.certificate
            facts.channelBindings.serverEndPoint = found.certificate.flatMap(serverEndPoint)
            guard let metadata = connection.metadata(definition: NWProtocolTLS.definition) as? NWProtocolTLS.Metadata else { return facts }
            let security = metadata.securityProtocolMetadata
            facts.applicationProtocol = sec_protocol_metadata_get_negotiated_protocol(security).map { String(cString: $0) }
            switch sec_protocol_metadata_get_negotiated_tls_protocol_version(security) {
            case .TLSv12: facts.tlsVersion = "1.2"
            case .TLSv13:
                facts.tlsVersion = "1.3"
                // RFC 9266 §2 wants an empty context, which is the same as none in TLS 1.3 (RFC 8446 §7.5). With TLS 1.2 it would need the
                // extended master secret (RFC 9266 §3), of which the system says nothing.
                let label = "EXPORTER-Channel-Binding"
                let secret = sec_protocol_metadata_create_secret(security, label.utf8.count, label, 32)
                facts.channelBindings.exporter = secret.map { Data($0 as DispatchData) }
            default: break
            }
            return facts
        }

        func read() async throws -> Data? {
            try await inbox.next()
        }

        func write(_ pieces: [Data]) async throws {
            let sent = Promise<Void>(), connection = connection
            connection.send(
                content: Data(pieces.joined()),
                completion: .contentProcessed { error in sent.keep(error.map { .failure(failure($0)) } ?? .success(())) })
            try await withTaskCancellationHandler {
                try await sent.value()
            } onCancel: {
                // Half of it may have left: whoever gives up writing gives up the connection.
                connection.cancel()
            }
        }

        func startTLS(_: String) async throws -> LinkFacts {
            throw noStartTLS
        }

        func close() async {
            let sent = Promise<Void>()
            connection.send(
                content: nil, contentContext: .finalMessage, isComplete: true, completion: .contentProcessed { _ in sent.keep(.success(())) })
            DispatchQueue.global().asyncAfter(deadline: .now() + 2) { sent.keep(.success(())) }
            try? await sent.value()
            connection.cancel()
        }
    }

    /// It would take a protocol framer of our own that puts TLS above itself (Apple, `NWProtocolFramer.Instance.prependApplicationProtocol(options:)`):
    /// nothing to be written without a system that runs it.
    let noStartTLS = LinkFailure.other(
        "on Apple's systems TCP is with direct TLS only so far, not with STARTTLS: give the server's port for direct TLS (often 5223), a WebSocket or BOSH")

    private func failure(_ error: NWError) -> LinkFailure {
        switch error {
        case .posix(.ECONNREFUSED): .refused
        case .posix(.ETIMEDOUT): .timeout
        case .posix(.ECONNRESET), .posix(.EPIPE), .posix(.ENOTCONN), .posix(.ECONNABORTED): .reset
        case .posix(let code): .other(String(cString: strerror(code.rawValue)))
        case .dns: .unknownHost
        case .tls(let status): tlsFailure(Int(status))
        default: .other(error.localizedDescription)
        }
    }
#endif
