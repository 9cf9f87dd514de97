// The workload that every language plays: tests/bench/workload.json.

import EpodeEngine
import Foundation

struct Workload: Decodable {
    struct Account: Decodable {
        var jid: String
        var certificate: String
        var host: String
        var port: UInt16
        var seed: String
    }

    struct Size: Decodable {
        var bytes: Int
        var stanza: String
    }

    var client: Account
    var now: UInt64
    var link: UInt64
    var verifiedName: String
    var login: [String]
    var sizes: [String: Size]

    init(_ file: String) throws {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        self = try decoder.decode(Self.self, from: Data(contentsOf: URL(fileURLWithPath: file)))
    }

    /// A client that is online.
    func online() throws -> Client {
        var digits = client.seed[...], seed = Data()
        while let byte = UInt8(digits.prefix(2), radix: 16) {
            seed.append(byte)
            digits = digits.dropFirst(2)
        }
        let config = Config(
            jid: client.jid,
            credentials: .certificate(identity: client.certificate, der: nil),
            transports: [.tcp(host: client.host, port: client.port, tls: .direct)]
        )
        let engine = try Client(config: config, seed: seed)
        _ = try engine.handle(now: now, input: .start)
        let info = LinkInfo(encrypted: true, verified: .host(name: verifiedName))
        _ = try engine.handle(now: now, input: .connected(link: link, info: info))
        for said in login { _ = try engine.received(now: now, link: link, bytes: Data(said.utf8)) }
        guard try engine.jid() != nil else { throw Fault(description: "the client of the workload is not online after its login") }
        return engine
    }
}

struct Fault: Error, CustomStringConvertible {
    var description: String
}
