// What a server wants besides the credentials (XEP-0388 §2.6.3), and handlers that answer when nobody wants to know any more.
import Epode
import Foundation
import Testing

extension WithServers {
    @Suite(.serialized, .timeLimit(.minutes(2))) struct Tasks {
        static let code = "<code xmlns='urn:epode:test:code'>123456</code>"
        let world: World
        let server: World.Server

        init() throws {
            world = try World.get()
            server = try world.server("dev")
        }

        private func options(_ network: AskingNetwork, _ handler: @escaping @Sendable (LoginTask) async throws -> String?) throws -> Options {
            var options = try world.options()
            options.network = network
            options.policy.allowsPlain = true
            options.tasks = ["EXAMPLE": handler]
            return options
        }

        private func connect(_ transports: [Transport], _ options: Options) async throws -> Client {
            try await Epode.connect(
                server.password.jid, transports: transports, credentials: .password(server.password.password), options: options)
        }

        @Test func whatTheHandlerGivesGoesToTheServer() async throws {
            let network = AskingNetwork()
            let client = try await connect(
                [AskingNetwork.transport],
                options(network) { task in
                    #expect(task.name == "EXAMPLE")
                    #expect(task.text == "the code, please")
                    return Self.code
                })
            #expect(try await client.online().profile == .sasl2)
            #expect(await network.link?.answered.contains("123456") == true)
            await client.close()
        }

        @Test func whatTheHandlerThrowsEndsTheLogin() async throws {
            let network = AskingNetwork()
            await #expect(throws: Missing.self) {
                _ = try await connect([AskingNetwork.transport], options(network) { _ in throw Missing(description: "the user has no code") })
            }
        }

        @Test(arguments: [true, false])
        func anAnswerThatComesTooLateIsForNobody(_ fails: Bool) async throws {
            let network = AskingNetwork()
            let asked = Latch()
            let typed = Latch()
            let done = Latch()
            // As a dialog that does not care for cancellation.
            let options = try options(network) { _ in
                asked.open()
                await typed.wait()
                defer { done.open() }
                if fails { throw Missing(description: "too late") }
                return Self.code
            }
            let login = Task { try await connect([AskingNetwork.transport, Way.directTLS.transport(server)], options) }
            await asked.wait()
            // The user still types when the connection breaks, and the login goes on elsewhere.
            await network.link?.hangUp()
            let client = try await login.value
            let jid = try await client.online().jid
            typed.open()
            await done.wait()
            try await client.sendMessage(to: jid, "still here")
            #expect(try await client.message().body == "still here")
            await client.close()
            #expect(await client.offline?.blame == .stopped)
        }

        @Test func aHandlerThatDoesNotEndHoldsNobodyUp() async throws {
            let network = AskingNetwork()
            let asked = Latch()
            let typed = Latch()
            let options = try options(network) { _ in
                asked.open()
                await typed.wait()
                return Self.code
            }
            let login = Task { try await connect([AskingNetwork.transport], options) }
            await asked.wait()
            login.cancel()
            // It returns though the handler waits for what only comes afterwards.
            await #expect(throws: CancellationError.self) { try await login.value }
            typed.open()
        }

        @Test func aHandlerIsCancelledWithItsLogin() async throws {
            let network = AskingNetwork()
            let asked = Latch()
            let cancelled = Latch()
            let options = try options(network) { _ in
                asked.open()
                defer { cancelled.open() }
                try await Task.sleep(for: .seconds(3_600))
                return nil
            }
            let login = Task { try await connect([AskingNetwork.transport, Way.directTLS.transport(server)], options) }
            await asked.wait()
            await network.link?.hangUp()
            let client = try await login.value
            await cancelled.wait()
            #expect(await client.offline == nil)
            await client.close()
        }
    }
}

/// Opens once, and no cancellation opens it.
private final class Latch: @unchecked Sendable {
    private let lock = NSLock()
    private var isOpen = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    func open() {
        let released = lock.withLock {
            isOpen = true
            defer { waiting = [] }
            return waiting
        }
        for continuation in released { continuation.resume() }
    }

    func wait() async {
        await withCheckedContinuation { continuation in
            let goesOn = lock.withLock {
                if isOpen { return true }
                waiting.append(continuation)
                return false
            }
            if goesOn { continuation.resume() }
        }
    }
}

/// The platform's network, but for one host: there, a server asks for a task. None of the servers of the world does.
private actor AskingNetwork: Network {
    static let transport = Transport.tcp(host: "asking.invalid", port: 1, security: .direct)
    private let platform = PlatformNetwork()
    private(set) var link: AskingLink?

    func connect(host: String, port: UInt16, security: TCPSecurity, request: LinkRequest) async throws -> any StreamLink {
        guard host == "asking.invalid" else { return try await platform.connect(host: host, port: port, security: security, request: request) }
        let link = AskingLink(request.serverName)
        self.link = link
        return link
    }

    func connect(webSocket url: String, request: LinkRequest) async throws -> any StreamLink {
        try await platform.connect(webSocket: url, request: request)
    }

    func connect(bosh url: String, request: LinkRequest) async throws -> any RequestLink {
        try await platform.connect(bosh: url, request: request)
    }

    func services(of name: String) async throws -> [Service] { try await platform.services(of: name) }
    func document(at url: String, limit: Int) async throws -> Data { try await platform.document(at: url, limit: limit) }
}

/// A server that lets everybody in who does the task EXAMPLE.
private actor AskingLink: StreamLink {
    let facts: LinkFacts
    private let arrivals: AsyncStream<String>
    private let arrive: AsyncStream<String>.Continuation
    private var unread = ""
    /// What the client gave for the task.
    private(set) var answered = ""

    init(_ serverName: String) {
        var facts = LinkFacts(isEncrypted: true, verifiedName: serverName)
        facts.tlsVersion = "1.3"
        self.facts = facts
        (arrivals, arrive) = AsyncStream.makeStream()
    }

    func hangUp() {
        arrive.finish()
    }

    func read() async throws -> Data? {
        for await text in arrivals { return Data(text.utf8) }
        try Task.checkCancellation()
        return nil
    }

    func write(_ pieces: [Data]) async throws {
        for piece in pieces { unread += String(decoding: piece, as: UTF8.self) }
        if took("<stream:stream", to: ">") != nil {
            arrive.yield(
                "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1' "
                    + "from='cert.localhost' version='1.0'><stream:features><authentication xmlns='urn:xmpp:sasl:2'>"
                    + "<mechanism>PLAIN</mechanism></authentication></stream:features>")
        }
        if took("<authenticate", to: "</authenticate>") != nil {
            arrive.yield("<continue xmlns='urn:xmpp:sasl:2'><tasks><task>EXAMPLE</task></tasks><text>the code, please</text></continue>")
        }
        if let next = took("<next", to: "</next>") {
            answered = next
            arrive.yield(
                "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>alice@cert.localhost</authorization-identifier></success>"
                    + "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>")
        }
        if let bind = took("<iq", to: "</iq>"), let id = bind.split(separator: "id='").last?.split(separator: "'").first {
            arrive.yield(
                "<iq type='result' id='\(id)'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>alice@cert.localhost/x</jid></bind></iq>")
        }
        if took("</stream:stream", to: ">") != nil {
            arrive.yield("</stream:stream>")
            arrive.finish()
        }
    }

    private func took(_ start: String, to end: String) -> String? {
        guard let begins = unread.range(of: start), let ends = unread.range(of: end, range: begins.upperBound..<unread.endIndex) else { return nil }
        defer { unread.removeSubrange(..<ends.upperBound) }
        return String(unread[begins.lowerBound..<ends.upperBound])
    }

    func startTLS(_ serverName: String) async throws -> LinkFacts { throw LinkFailure.other("TLS is up already") }
    func close() async { arrive.finish() }
}
