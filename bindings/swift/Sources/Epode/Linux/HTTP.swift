// BOSH and documents by libcurl.
#if os(Linux)
    import CEpodeLinux
    import Foundation

    /// What libcurl's callbacks have the address of.
    private final class HTTPSession {
        let pointer: UnsafeMutablePointer<epode_session>
        private let identity: PlatformIdentity.Handle?
        private let authorities: Authorities

        init(_ identity: PlatformIdentity.Handle?, _ authorities: Authorities) {
            self.identity = identity
            self.authorities = authorities
            pointer = .allocate(capacity: 1)
            pointer.initialize(to: epode_session())
            pointer.pointee.trust = authorities.pointer
            pointer.pointee.identity = identity?.pointer
        }

        deinit {
            pointer.deinitialize(count: 1)
            pointer.deallocate()
        }
    }

    /// The requests of one BOSH session, or one document.
    actor HTTPClient: RequestLink {
        private let reactor = Reactor()
        nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

        private let url: String
        private let request: LinkRequest
        private let session: UnsafeMutablePointer<epode_session>
        private(set) var facts = LinkFacts()

        /// Looks at the server's certificate over a connection of its own; every connection afterwards has to show the same one. So a login
        /// can be bound to it, and it is known before the first request whether the server asks for a client certificate.
        static func open(_ url: String, _ request: LinkRequest) async throws -> HTTPClient {
            let client = HTTPClient(url, request, try Authorities(request.trust))
            do {
                try await client.look()
                return client
            } catch {
                await client.close()
                throw error
            }
        }

        /// A document.
        static func get(_ url: String, limit: Int) async throws -> Data {
            let client = HTTPClient(url, LinkRequest(serverName: "", maximumMessage: limit), try Authorities(.system))
            do {
                let answer = try await client.get()
                await client.close()
                return answer
            } catch {
                await client.close()
                throw error
            }
        }

        private init(_ url: String, _ request: LinkRequest, _ authorities: Authorities) {
            self.url = url
            self.request = request
            let session = HTTPSession(request.identity?.platform.handle, authorities)
            self.session = session.pointer
            // Idle connections of libcurl's know it until they are closed, which is the last that the reactor does.
            reactor.keepsAlive = session
        }

        private func look() async throws {
            let seen = try await run(epode_transfer_look(url, session)) { $0.pointee.facts }
            var facts = LinkFacts(seen, name: request.serverName, request: request)
            // Requests go over several connections, which have no more in common than the certificate.
            facts.channelBindings.exporter = nil
            facts.channelBindings.unique = nil
            self.facts = facts
            session.pointee.pinned_sha256 = seen.certificate_sha256
            session.pointee.is_pinned = seen.has_certificate
        }

        func post(_ body: Data) async throws -> RequestAnswer {
            try await run(
                body.withUnsafeBytes {
                    epode_transfer_post(url, $0.baseAddress?.assumingMemoryBound(to: UInt8.self), $0.count, request.maximumMessage, session)
                }, RequestAnswer.init)
        }

        private func get() async throws -> Data {
            let answer = try await run(epode_transfer_get(url, request.maximumMessage, session), RequestAnswer.init)
            guard answer.status == 200 else { throw LinkFailure.http("its status is \(answer.status)") }
            return answer.body
        }

        /// Runs the transfer, and gives what `result` takes from it.
        private func run<T>(_ transfer: UnsafeMutablePointer<epode_transfer>?, _ result: (UnsafeMutablePointer<epode_transfer>) -> T) async throws -> T {
            guard let transfer, let easy = transfer.pointee.easy else { throw LinkFailure.other("there is no memory") }
            do {
                let code = try await reactor.perform(Easy(handle: easy), keeps: false)
                guard code == CURLE_OK else { throw LinkFailure(code, transfer) }
            } catch {
                epode_transfer_free(transfer)
                throw error
            }
            let answer = result(transfer)
            epode_transfer_free(transfer)
            return answer
        }

        func close() async {
            reactor.finish()
        }
    }

    extension RequestAnswer {
        fileprivate init(_ transfer: UnsafeMutablePointer<epode_transfer>) {
            let body = transfer.pointee.body.map { Data(bytes: $0, count: transfer.pointee.body_size) }
            self.init(status: UInt16(clamping: epode_transfer_status(transfer)), body: body ?? Data())
            let facts = transfer.pointee.facts
            tlsVersion = facts.versionName
            serverCertificateSHA256 = facts.certificateSHA256
            clientCertificateRequested = tlsVersion == nil ? nil : facts.certificate_requested
        }
    }
#endif
