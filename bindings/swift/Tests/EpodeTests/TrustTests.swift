// Whom a link trusts: what the application said, whatever the environment says, and each request for itself.
#if os(Linux)
    import CEpodeLinux
    import Foundation
    import Testing

    @testable import Epode

    extension WithServers {
        @Suite(.serialized, .timeLimit(.minutes(2))) struct TrustOfLinks {
            let world: World
            let server: World.Server

            init() throws {
                world = try World.get()
                server = try world.server("dev")
            }

            /// What OpenSSL and libcurl would read there by themselves.
            @Test(arguments: Way.allCases)
            func theEnvironmentVouchesForNobody(_ way: Way) async throws {
                let names = ["SSL_CERT_FILE", "CURL_CA_BUNDLE"]
                for name in names { setenv(name, world.ca, 1) }
                setenv("SSL_CERT_DIR", URL(fileURLWithPath: world.ca).deletingLastPathComponent().path, 1)
                defer { for name in names + ["SSL_CERT_DIR"] { unsetenv(name) } }
                do {
                    let client = try await Epode.connect(
                        server.password.jid, way.transport(server), credentials: .password(server.password.password))
                    await client.close()
                    Issue.record("logged in")
                } catch let EpodeError.tlsFailed(reason) {
                    #expect(reason.sentence.contains("authorit"), "\(reason)")
                }
            }

            /// What one request saw is not taken for what another one failed of.
            @Test func eachRequestFailsForItsOwnReason() throws {
                let authorities = try Authorities(world.trust())
                var session = epode_session()
                session.trust = authorities.pointer
                let url = server.bosh.absoluteString
                let nobody = "https://localhost:1/"
                withUnsafeMutablePointer(to: &session) { session in
                    func run(_ url: String) -> (CURLcode, UnsafeMutablePointer<epode_transfer>)? {
                        guard let transfer = epode_transfer_get(url, 1 << 20, session) else { return nil }
                        return (curl_easy_perform(transfer.pointee.easy), transfer)
                    }
                    // Another certificate than the one that was seen first.
                    session.pointee.is_pinned = true
                    guard let changed = run(url), let refused = run(nobody) else { return fail("there is no memory") }
                    // The right one.
                    session.pointee.is_pinned = false
                    guard let right = run(url) else { return fail("there is no memory") }
                    // One that nobody vouches for.
                    let strangers = X509_STORE_new()
                    session.pointee.trust = strangers
                    guard let rejected = run(url) else { return fail("there is no memory") }
                    session.pointee.trust = authorities.pointer
                    guard let last = run(url) else { return fail("there is no memory") }
                    if case .certificateRejected(let why) = LinkFailure(changed.0, changed.1) { #expect(why.contains("changed")) } else { fail("not changed") }
                    #expect(LinkFailure(refused.0, refused.1) == .refused)
                    #expect(right.0 == CURLE_OK)
                    #expect(right.1.pointee.facts.version == 0x0304)
                    if case .certificateRejected(let why) = LinkFailure(rejected.0, rejected.1) {
                        #expect(why.contains("authorities"))
                    } else {
                        fail("not rejected")
                    }
                    #expect(last.0 == CURLE_OK)
                    for (_, transfer) in [changed, refused, right, rejected, last] { epode_transfer_free(transfer) }
                    X509_STORE_free(strangers)
                }
            }

            /// Requests of one session that go over connections which others have used before.
            @Test func requestsShareConnectionsAndKnowTheirFacts() async throws {
                // These are no requests of BOSH, which the server dev would hold against its clients.
                let client = try await HTTPClient.open(
                    world.server("prosody-13").bosh.absoluteString, LinkRequest(serverName: "localhost", trust: world.trust()))
                #expect(await client.facts.tlsVersion == "1.3")
                for _ in 0..<3 {
                    try await withThrowingTaskGroup(of: RequestAnswer.self) { group in
                        for _ in 0..<4 { group.addTask { try await client.post(Data("<body/>".utf8)) } }
                        for try await answer in group {
                            #expect(answer.tlsVersion == "1.3")
                            #expect(answer.serverCertificateSHA256?.count == 32)
                            #expect(answer.clientCertificateRequested == true)
                        }
                    }
                }
                await client.close()
            }
        }
    }
#endif
