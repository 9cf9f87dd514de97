// The servers that the tests log in to: what the file of EPODE_WORLD says of them, and the port that cuts their connections.
import Epode
import Foundation
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// Every test that uses a server is in here: what one cuts, another would miss.
@Suite(.serialized) enum WithServers {}

struct World: Decodable, Sendable {
    struct Place: Decodable, Sendable {
        let host: String
        let port: UInt16
    }

    struct Certificate: Decodable, Sendable {
        let jid, cert, key, p12, p12_password: String
    }

    struct Password: Decodable, Sendable {
        let jid, password: String
    }

    struct Server: Decodable, Sendable {
        let modern: Bool
        let tcp, direct_tls: Place
        let websocket, bosh: URL
        let certificate, expired: Certificate
        let password, other: Password
    }

    let control: Place
    let ca, rogue_ca: String
    let servers: [String: Server]

    /// The servers, or the end of the test.
    static func get() throws -> World {
        guard let path = ProcessInfo.processInfo.environment["EPODE_WORLD"] else {
            throw Missing(description: "EPODE_WORLD names no file that says where the test servers are: run tests/run swift")
        }
        return try JSONDecoder().decode(World.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
    }

    func server(_ name: String) throws -> Server {
        try #require(servers[name], "there is no server \(name) in the world")
    }

    func trust() throws -> Trust {
        .authorities(try Data(contentsOf: URL(fileURLWithPath: ca)))
    }

    /// The options that every login here has.
    func options() throws -> Options {
        var options = Options()
        options.trust = try trust()
        return options
    }

    /// One command to the world; what stands behind the `ok`.
    @discardableResult
    func say(_ command: String) throws -> String {
        #if canImport(Glibc)
            let stream = Int32(SOCK_STREAM.rawValue)
        #else
            let stream = SOCK_STREAM
        #endif
        let socket = socket(AF_INET, stream, 0)
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = control.port.bigEndian
        inet_pton(AF_INET, control.host, &address.sin_addr)
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        try #require(connected == 0, "the world does not listen")
        let line = Array((command + "\n").utf8)
        try #require(send(socket, line, line.count, 0) == line.count)
        var answer = Data()
        while answer.last != UInt8(ascii: "\n") {
            var buffer = [UInt8](repeating: 0, count: 4_096)
            let count = recv(socket, &buffer, buffer.count, 0)
            try #require(count > 0, "the world says nothing")
            answer.append(contentsOf: buffer.prefix(count))
        }
        let text = String(decoding: answer, as: UTF8.self).trimmingCharacters(in: .newlines)
        try #require(text.hasPrefix("ok"), "\(text)")
        return text.dropFirst(2).trimmingCharacters(in: .whitespaces)
    }
}

struct Missing: Error, CustomStringConvertible {
    let description: String
}

/// How a test travels.
enum Way: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case startTLS, directTLS, webSocket, bosh

    var testDescription: String { rawValue }

    func transport(_ server: World.Server) -> Transport {
        switch self {
        case .startTLS: .tcp(host: server.tcp.host, port: server.tcp.port, security: .startTLS)
        case .directTLS: .tcp(host: server.direct_tls.host, port: server.direct_tls.port, security: .direct)
        case .webSocket: .webSocket(server.websocket)
        case .bosh: .bosh(server.bosh)
        }
    }

    var kind: TransportKind {
        switch self {
        case .startTLS, .directTLS: .tcp
        case .webSocket: .webSocket
        case .bosh: .bosh
        }
    }
}

let realServers = ["dev", "prosody-13"]

extension World.Certificate {
    func identity() throws -> ClientIdentity {
        try ClientIdentity(pemFile: URL(fileURLWithPath: cert), keyFile: URL(fileURLWithPath: key))
    }
}

extension Client {
    /// The next event that `pick` takes.
    func next<T: Sendable>(_ pick: (Event) -> T?) async throws -> T {
        for await event in events {
            if let picked = pick(event) { return picked }
            if case .offline(let reason) = event { throw EpodeErrorAtTheEnd(reason: reason) }
        }
        throw Missing(description: "the events ended")
    }

    func online() async throws -> Online { try await next { if case .online(let online) = $0 { online } else { nil } } }
    func message() async throws -> Message { try await next { if case .message(let message) = $0 { message } else { nil } } }
}

struct EpodeErrorAtTheEnd: Error {
    let reason: Offline
}

func fail(_ what: String, _ location: SourceLocation = #_sourceLocation) {
    Issue.record(Comment(rawValue: what), sourceLocation: location)
}
