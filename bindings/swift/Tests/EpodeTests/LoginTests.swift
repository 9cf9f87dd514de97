// Logging in, and a message to oneself and back, on every transport of every server.
import Epode
import Foundation
import Testing

extension WithServers {
    @Suite(.serialized, .timeLimit(.minutes(5))) struct Logins {
        let world: World

        init() throws { world = try World.get() }

        @Test(arguments: realServers, Way.allCases)
        func byCertificate(_ name: String, _ way: Way) async throws {
            let server = try world.server(name)
            let client = try await Epode.connect(
                server.certificate.jid, way.transport(server), credentials: .certificate(server.certificate.identity()),
                options: world.options())
            let online = try await client.online()
            #expect(online.mechanism == "EXTERNAL")
            #expect(online.transport == way.kind)
            #expect(online.clientCertificateRequested == true)
            try await talk(client, online)
        }

        @Test(arguments: realServers, Way.allCases)
        func byPKCS12(_ name: String, _ way: Way) async throws {
            let server = try world.server(name)
            let identity = try ClientIdentity(
                pkcs12File: URL(fileURLWithPath: server.certificate.p12), password: server.certificate.p12_password)
            let client = try await Epode.connect(
                server.certificate.jid, way.transport(server), credentials: .certificate(identity), options: world.options())
            #expect(try await client.online().mechanism == "EXTERNAL")
            await client.close()
        }

        @Test(arguments: realServers, Way.allCases)
        func byPassword(_ name: String, _ way: Way) async throws {
            let server = try world.server(name)
            let client = try await Epode.connect(
                server.password.jid, way.transport(server), credentials: .password(server.password.password), options: world.options())
            let online = try await client.online()
            #expect(online.mechanism.hasPrefix("SCRAM-"))
            #expect(online.serverProof == .verified)
            try await talk(client, online)
            // What the password became logs in too, where the server does not draw another salt each time.
            guard name == "dev" else { return }
            let key = try #require(await client.scramKey)
            let again = try await Epode.connect(
                server.password.jid, way.transport(server), credentials: .scramKey(key), options: world.options())
            await again.close()
        }

        private func talk(_ client: Client, _ online: Online) async throws {
            let sent = try await client.sendMessage(to: online.jid, "A note & more: ä, 😀, <tag/>")
            let message = try await client.message()
            #expect(message.body == "A note & more: ä, 😀, <tag/>")
            #expect(String(decoding: message.xml, as: UTF8.self).contains("A note &amp; more"))
            _ = sent
            await client.close()
            let last = try await client.next { if case .offline(let reason) = $0 { reason } else { nil } }
            #expect(last.blame == .stopped, "\(last)")
            #expect(await client.offline == last)
        }
    }
}
