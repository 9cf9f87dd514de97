// Which channel bindings a login had, compared with the table that the project publishes.
import Epode
import Foundation
import Testing

extension WithServers {
    @Suite(.serialized, .timeLimit(.minutes(2))) struct Bindings {
        struct Table: Decodable {
            struct Driver: Decodable {
                let rows: [Row]
            }
            struct Row: Decodable, Hashable, CustomStringConvertible {
                let transport, tls: String
                let bindings: [String]
                var description: String { "\(transport) TLS \(tls): \(bindings)" }
            }
            let drivers: [Driver]
        }

        @Test func theTableSaysWhatALoginHas() async throws {
            let world = try World.get()
            var seen: Set<Table.Row> = []
            for name in ["modern", "tls12"] {
                let server = try world.server(name)
                for way in Way.allCases {
                    let network = RecordingNetwork()
                    var options = try world.options()
                    options.network = network
                    let client = try await Epode.connect(
                        server.password.jid, way.transport(server), credentials: .password(server.password.password), options: options)
                    let online = try await client.online()
                    // These servers bind nothing on BOSH.
                    if way != .bosh {
                        #expect(online.mechanism.hasSuffix("-PLUS"), "\(name), \(way): \(online.mechanism)")
                        #expect(online.channelBinding == .exporter)
                    }
                    let rows = await network.rows(way.kind)
                    #expect(!rows.isEmpty, "\(name), \(way)")
                    seen.formUnion(rows)
                    await client.close()
                }
            }
            let file = URL(fileURLWithPath: #filePath).appendingPathComponent("../../../../channel-bindings/swift.json").standardized
            let table = try JSONDecoder().decode(Table.self, from: Data(contentsOf: file))
            #expect(Set(table.drivers.flatMap(\.rows)) == seen)
        }

        /// Each value is the one that the server computes: it refuses a login that is bound to another. Not for tls-unique, which none of
        /// these servers computes.
        @Test(arguments: [
            ("modern", ChannelBinding.exporter), ("modern", .serverEndPoint), ("tls12", .exporter), ("tls12", .serverEndPoint),
        ])
        func theServerComputesTheSame(_ name: String, _ binding: ChannelBinding) async throws {
            let world = try World.get()
            let server = try world.server(name)
            for way in Way.allCases where way != .bosh {
                var options = try world.options()
                options.policy.channelBindings = [binding]
                let client = try await Epode.connect(
                    server.password.jid, way.transport(server), credentials: .password(server.password.password), options: options)
                let online = try await client.online()
                #expect(online.channelBinding == binding, "\(way)")
                #expect(online.mechanism.hasSuffix("-PLUS"), "\(way)")
                await client.close()
            }
        }
    }
}

/// The platform's network, which remembers what was known of each link.
private actor RecordingNetwork: Network {
    private let platform = PlatformNetwork()
    private var facts: [LinkFacts] = []

    func rows(_ kind: TransportKind) -> [WithServers.Bindings.Table.Row] {
        facts.map { facts in
            let bindings = facts.channelBindings
            let named = [("tls-exporter", bindings.exporter), ("tls-unique", bindings.unique), ("tls-server-end-point", bindings.serverEndPoint)]
            let transport = kind == .tcp ? "tcp" : kind == .webSocket ? "websocket" : "bosh"
            return WithServers.Bindings.Table.Row(
                transport: transport, tls: facts.tlsVersion ?? "none", bindings: named.compactMap { $1 == nil ? nil : $0 })
        }
    }

    func connect(host: String, port: UInt16, security: TCPSecurity, request: LinkRequest) async throws -> any StreamLink {
        let link = try await platform.connect(host: host, port: port, security: security, request: request)
        // On STARTTLS the facts are those of the handshake, which comes later.
        if security == .direct { facts.append(await link.facts) }
        return RecordingLink(link: link) { await self.keep($0) }
    }

    private func keep(_ later: LinkFacts) {
        facts.append(later)
    }

    func connect(webSocket url: String, request: LinkRequest) async throws -> any StreamLink {
        let link = try await platform.connect(webSocket: url, request: request)
        facts.append(await link.facts)
        return link
    }

    func connect(bosh url: String, request: LinkRequest) async throws -> any RequestLink {
        let link = try await platform.connect(bosh: url, request: request)
        facts.append(await link.facts)
        return link
    }

    func services(of name: String) async throws -> [Service] { try await platform.services(of: name) }
    func document(at url: String, limit: Int) async throws -> Data { try await platform.document(at: url, limit: limit) }
}

/// A link whose handshake is remembered.
private struct RecordingLink: StreamLink {
    let link: any StreamLink
    let keep: @Sendable (LinkFacts) async -> Void

    var facts: LinkFacts { get async { await link.facts } }
    func read() async throws -> Data? { try await link.read() }
    func write(_ pieces: [Data]) async throws { try await link.write(pieces) }
    func close() async { await link.close() }

    func startTLS(_ serverName: String) async throws -> LinkFacts {
        let facts = try await link.startTLS(serverName)
        await keep(facts)
        return facts
    }
}
