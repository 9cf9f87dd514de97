// One TCP connection, with TLS at once, later or never: libcurl finds and connects the socket, OpenSSL does TLS on it.
#if os(Linux)
    import CEpodeLinux
    import Foundation

    #if canImport(Glibc)
        import Glibc
    #elseif canImport(Musl)
        import Musl
    #endif

    /// What ALPN calls XMPP on a connection that begins with TLS (XEP-0368 §2).
    let xmppOverTLS = "xmpp-client"

    actor Connection: StreamLink {
        /// Bytes read at once.
        static let readSize = 16 << 10
        /// How long the peer's own goodbye may take.
        private static let goodbye = Duration.seconds(2)

        let reactor = Reactor()
        nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

        private let request: LinkRequest
        private let authorities: Authorities
        /// Holds the socket.
        private var dial: UnsafeMutablePointer<epode_transfer>?
        private var socket: Int32 = -1
        private var tls: OpaquePointer?
        private(set) var facts = LinkFacts()

        /// A connection to any address of the host; with `alpn`, TLS is up.
        static func open(host: String, port: UInt16, alpn: String?, request: LinkRequest) async throws -> Connection {
            let connection = Connection(request, try Authorities(request.trust))
            do {
                try await connection.connect(host, port)
                if let alpn { try await connection.secure(request.serverName, alpn) }
                return connection
            } catch {
                await connection.drop()
                throw error
            }
        }

        private init(_ request: LinkRequest, _ authorities: Authorities) {
            self.request = request
            self.authorities = authorities
        }

        private func connect(_ host: String, _ port: UInt16) async throws {
            guard let dial = epode_transfer_dial(host, port), let easy = dial.pointee.easy else { throw LinkFailure.unknownHost }
            self.dial = dial
            let code = try await reactor.perform(Easy(handle: easy), keeps: true)
            guard code == CURLE_OK else { throw LinkFailure(code, dial) }
            socket = epode_transfer_socket(dial)
            guard socket >= 0 else { throw LinkFailure.reset }
        }

        private func secure(_ serverName: String, _ alpn: String?) async throws {
            guard let tls = epode_tls_new(socket, authorities.pointer, request.identity?.platform.handle.pointer, serverName, alpn) else {
                throw LinkFailure.other("no certificate can be for the name \(String(reflecting: serverName))")
            }
            self.tls = tls
            while try await !isDone(epode_tls_handshake(tls)) {}
            var facts = epode_facts()
            epode_tls_facts(tls, &facts)
            self.facts = LinkFacts(facts, name: serverName, request: request)
        }

        /// Waits as the step wants, or throws what went wrong; whether it is done.
        private func isDone(_ step: epode_step) async throws -> Bool {
            switch step.outcome {
            case EPODE_DONE: return true
            case EPODE_WANTS_READ: try await reactor.wait(for: POLLIN, on: socket)
            case EPODE_WANTS_WRITE: try await reactor.wait(for: POLLOUT, on: socket)
            default: throw LinkFailure(step)
            }
            return false
        }

        func startTLS(_ serverName: String) async throws -> LinkFacts {
            guard tls == nil else { throw LinkFailure.other("TLS is up already") }
            try await secure(serverName, nil)
            return facts
        }

        func read() async throws -> Data? {
            while true {
                try Task.checkCancellation()
                guard socket >= 0 else { throw LinkFailure.reset }
                // Without a wait between: what was read goes to the caller.
                let (step, bytes) = attempt()
                if step.outcome == EPODE_CLOSED { return nil }
                if try await isDone(step) { return bytes }
            }
        }

        private func attempt() -> (epode_step, Data) {
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.readSize) { buffer in
                let step =
                    if let tls { epode_tls_read(tls, buffer.baseAddress, buffer.count) } else {
                        epode_plain_read(socket, buffer.baseAddress, buffer.count)
                    }
                return (step, Data(buffer.prefix(step.count)))
            }
        }

        func write(_ pieces: [Data]) async throws {
            guard let first = pieces.first else { return }
            let bytes = pieces.count == 1 ? first : pieces.reduce(into: Data(), +=)
            var sent = 0
            while sent < bytes.count {
                try Task.checkCancellation()
                guard socket >= 0 else { throw LinkFailure.reset }
                let step = bytes.withUnsafeBytes { bytes in
                    let rest = bytes.baseAddress?.advanced(by: sent).assumingMemoryBound(to: UInt8.self)
                    if let tls { return epode_tls_write(tls, rest, bytes.count - sent) }
                    return epode_plain_write(socket, rest, bytes.count - sent)
                }
                if try await isDone(step) { sent += step.count }
            }
        }

        /// The goodbye of TLS and of TCP. What the peer still sends is read and dropped: a socket closed with bytes unread resets the
        /// connection, and the peer may lose what was written last.
        func close() async {
            if socket >= 0 {
                if let tls { SSL_shutdown(tls) }
                shutdown(socket, Int32(SHUT_WR))
                try? await within(Self.goodbye) { while try await self.read() != nil {} }
            }
            drop()
        }

        func drop() {
            reactor.forget(socket)
            socket = -1
            SSL_free(tls)
            tls = nil
            if let dial {
                reactor.release(dial.pointee.easy)
                epode_transfer_free(dial)
            }
            dial = nil
            reactor.finish()
        }
    }

    extension LinkFailure {
        init(_ step: epode_step) {
            let why = withUnsafeBytes(of: step.why) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            self =
                switch step.outcome {
                case EPODE_ALERT: .tlsAlert(step.alert)
                case EPODE_REJECTED: .certificateRejected(why)
                case EPODE_NOT_TLS: .other("the server does not speak TLS at this port: is it the right one?")
                case EPODE_FAILED: .other(why)
                default: .reset
                }
        }

        /// What libcurl says, and what was seen beside it.
        init(_ code: CURLcode, _ transfer: UnsafeMutablePointer<epode_transfer>) {
            if transfer.pointee.has_changed {
                self = .certificateRejected("it changed in the middle of the session, so nothing was sent to whoever showed the new one")
                return
            }
            if transfer.pointee.rejection != 0 {
                self = .certificateRejected(String(cString: epode_rejection(transfer.pointee.rejection)))
                return
            }
            switch code {
            case CURLE_COULDNT_RESOLVE_HOST: self = .unknownHost
            case CURLE_COULDNT_CONNECT: self = .refused
            case CURLE_OPERATION_TIMEDOUT: self = .timeout
            case CURLE_PEER_FAILED_VERIFICATION: self = .certificateRejected("it is for another name than the server's")
            case CURLE_WRITE_ERROR where transfer.pointee.is_too_large: self = .http("it is larger than \(transfer.pointee.limit) bytes")
            case CURLE_WRITE_ERROR where transfer.pointee.is_compressed: self = .http("it is compressed, which was not asked for")
            case _ where transfer.pointee.has_alert: self = .tlsAlert(transfer.pointee.alert)
            case CURLE_GOT_NOTHING, CURLE_RECV_ERROR, CURLE_SEND_ERROR, CURLE_SEND_FAIL_REWIND, CURLE_PARTIAL_FILE: self = .reset
            case CURLE_WEIRD_SERVER_REPLY, CURLE_UNSUPPORTED_PROTOCOL: self = .http("what the server sent is no HTTP/1.1 answer")
            case let code:
                let text = withUnsafeBytes(of: transfer.pointee.error) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
                self = .other(text.isEmpty ? String(cString: curl_easy_strerror(code)) : text)
            }
        }
    }
#endif
