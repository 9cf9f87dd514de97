// Logins that must not succeed, and what they say.
import Epode
import Foundation
import Testing

extension WithServers {
    @Suite(.serialized, .timeLimit(.minutes(5))) struct Failures {
        let world: World

        init() throws { world = try World.get() }

        @Test(arguments: realServers, Way.allCases)
        func aWrongPasswordIsRefused(_ name: String, _ way: Way) async throws {
            let server = try world.server(name)
            let error = await refused(server.password.jid, way.transport(server), .password("not the password"), try world.options())
            guard case .loginFailed(let reason) = error else { return fail("\(String(describing: error))") }
            #expect(reason.condition == "not-authorized")
            #expect(error?.localizedDescription == reason.sentence)
            #expect(!reason.sentence.contains("not the password"))
        }

        @Test(arguments: realServers, Way.allCases)
        func anExpiredCertificateIsRefused(_ name: String, _ way: Way) async throws {
            let server = try world.server(name)
            let identity = try server.expired.identity()
            var options = try world.options()
            // Here, before anything is sent.
            let early = await refused(server.expired.jid, way.transport(server), .certificate(identity), options)
            guard case .configuration(let sentence) = early else { return fail("\(String(describing: early))") }
            #expect(sentence.contains("expired on"))
            // By the server, or by its TLS.
            options.allowsInvalidCertificate = true
            let late = await refused(server.expired.jid, way.transport(server), .certificate(identity), options)
            switch late {
            case .loginFailed, .tlsFailed: break
            default: Issue.record("\(String(describing: late))")
            }
        }

        @Test(arguments: realServers, Way.allCases)
        func aServerWhoseCertificateIsNotTrustedLearnsNothing(_ name: String, _ way: Way) async throws {
            let server = try world.server(name)
            var options = try world.options()
            options.trust = .authorities(try Data(contentsOf: URL(fileURLWithPath: world.rogue_ca)))
            let error = await refused(server.password.jid, way.transport(server), .password(server.password.password), options)
            guard case .tlsFailed(let reason) = error else { return fail("\(String(describing: error))") }
            #expect(reason.sentence.contains("authorit"), "\(reason)")
        }

        @Test(arguments: Way.allCases)
        func aServerOfAnotherNameIsNotTrusted(_ way: Way) async throws {
            let server = try world.server("prosody-13")
            // The certificate is for localhost and cert.localhost; the address is neither, and on TCP the account's domain counts.
            let transport: Transport
            var jid = server.password.jid
            switch way {
            case .startTLS, .directTLS:
                transport = way.transport(server)
                jid = "alice@other.localhost"
            case .webSocket, .bosh:
                let url = way == .bosh ? server.bosh : server.websocket
                var parts = try #require(URLComponents(url: url, resolvingAgainstBaseURL: false))
                parts.host = "127.0.0.2"
                let moved = try #require(parts.url)
                transport = way == .bosh ? .bosh(moved) : .webSocket(moved)
            }
            let error = await refused(jid, transport, .password("pencil"), try world.options())
            switch error {
            case .tlsFailed, .connectionFailed, .serverIncompatible, .sessionEnded: break
            default: Issue.record("\(String(describing: error))")
            }
        }

        @Test(arguments: Way.allCases)
        func nobodyListens(_ way: Way) async throws {
            let transport: Transport =
                switch way {
                case .startTLS: .tcp(host: "localhost", port: 1)
                case .directTLS: .tcp(host: "localhost", port: 1, security: .direct)
                case .webSocket: .webSocket(try #require(URL(string: "wss://localhost:1/xmpp-websocket")))
                case .bosh: .bosh(try #require(URL(string: "https://localhost:1/http-bind")))
                }
            let error = await refused("alice@localhost", transport, .password("x"), try world.options())
            guard case .connectionFailed(let reason) = error else { return fail("\(String(describing: error))") }
            #expect(reason.sentence.contains("nobody listens"), "\(reason)")
        }

        @Test(arguments: Way.allCases)
        func theHostIsUnknown(_ way: Way) async throws {
            let transport: Transport =
                switch way {
                case .startTLS: .tcp(host: "nobody.invalid")
                case .directTLS: .tcp(host: "nobody.invalid", security: .direct)
                case .webSocket: .webSocket(try #require(URL(string: "wss://nobody.invalid/xmpp-websocket")))
                case .bosh: .bosh(try #require(URL(string: "https://nobody.invalid/http-bind")))
                }
            let error = await refused("alice@nobody.invalid", transport, .password("x"), try world.options())
            guard case .connectionFailed = error else { return fail("\(String(describing: error))") }
        }

        private func refused(_ jid: String, _ transport: Transport, _ credentials: Credentials, _ options: Options) async -> EpodeError? {
            do {
                let client = try await Epode.connect(jid, transport, credentials: credentials, options: options)
                await client.close()
                Issue.record("logged in")
                return nil
            } catch {
                return error as? EpodeError
            }
        }
    }
}
