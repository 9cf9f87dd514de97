// Two clients that ask each other, one that many tasks use, and credentials that change.
import Epode
import Foundation
import Testing

extension WithServers {
    @Suite(.serialized, .timeLimit(.minutes(3))) struct Conversations {
        static let namespace = "urn:epode:test:question"
        let world: World

        init() throws { world = try World.get() }

        private func connect(_ account: World.Password, _ transport: Transport, answers: [String] = []) async throws -> Client {
            var options = try world.options()
            options.answers = answers
            return try await Epode.connect(account.jid, transport, credentials: .password(account.password), options: options)
        }

        @Test(arguments: realServers, Way.allCases)
        func requestsAreAnsweredRefusedOrGivenUp(_ name: String, _ way: Way) async throws {
            let server = try world.server(name)
            let asked = try await connect(server.other, way.transport(server), answers: [Self.namespace])
            let asking = try await connect(server.password, way.transport(server))
            let jid = try await asked.online().jid
            _ = try await asking.online()
            let answering = Task {
                for await event in asked.events {
                    guard case .request(let request) = event else { continue }
                    let text = String(decoding: request.xml, as: UTF8.self)
                    if text.contains("<tell") {
                        try await asked.respond(to: request, with: "<told xmlns='\(Self.namespace)'>42 &amp; no more</told>")
                    } else if text.contains("<nothing") {
                        try await asked.respond(to: request)
                    } else if text.contains("<refuse") {
                        try await asked.refuse(request, StanzaError(.modify, condition: "not-acceptable", text: "not <like> this"))
                    }
                }
            }
            func ask(_ what: String, timeout: Duration? = nil) async throws -> Answer {
                try await asking.request("<iq type='get' to='\(jid)'><\(what) xmlns='\(Self.namespace)'/></iq>", timeout: timeout)
            }
            let told = try await ask("tell")
            #expect(told.from == jid)
            #expect(String(decoding: told.xml, as: UTF8.self).contains("42 &amp; no more"))
            #expect(try await ask("nothing").type == "result")
            await #expect(throws: EpodeError.requestFailed(StanzaError(.modify, condition: "not-acceptable", text: "not <like> this"))) {
                try await ask("refuse")
            }
            await #expect(throws: EpodeError.requestTimedOut) { try await ask("silence", timeout: .milliseconds(200)) }
            let cancelled = Task { try await ask("silence") }
            try await Task.sleep(for: .milliseconds(20))
            cancelled.cancel()
            await #expect(throws: CancellationError.self) { try await cancelled.value }
            // Nobody asks the application about a namespace that it does not answer.
            do {
                _ = try await asking.request("<iq type='get' to='\(jid)'><tell xmlns='urn:epode:test:other'/></iq>")
                Issue.record("answered")
            } catch EpodeError.requestFailed(let error) {
                #expect(error.condition == "service-unavailable")
            }
            // Nor are two requests confused with one another.
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<20 {
                    group.addTask {
                        let tells = number.isMultiple(of: 2)
                        let xml = try await ask(tells ? "tell" : "nothing").xml
                        return String(decoding: xml, as: UTF8.self).contains("42 &amp;") == tells
                    }
                }
                for try await right in group { #expect(right) }
            }
            // A request that waits when the client leaves has no answer.
            let late = Task { try await ask("silence") }
            try await Task.sleep(for: .milliseconds(20))
            await asking.close()
            await #expect(throws: EpodeError.notOnline) { try await late.value }
            await asked.close()
            try await answering.value
        }

        @Test func oneClientIsUsedByManyTasks() async throws {
            let server = try world.server("dev")
            let client = try await connect(server.password, Way.directTLS.transport(server))
            let jid = try await client.online().jid
            let writers = 40
            let each = 15
            let reading = Task {
                var next = [Int](repeating: 0, count: writers)
                var finals: [SentStanza: Delivery.Stage] = [:]
                for await event in client.events {
                    switch event {
                    case .message(let message):
                        let parts = (message.body ?? "").split(separator: " ").compactMap { Int($0) }
                        try #require(parts.count == 2)
                        // What one task sends stays in its order.
                        #expect(next[parts[0]] == parts[1])
                        next[parts[0]] += 1
                    case .delivery(let delivery):
                        let before = finals.updateValue(delivery.stage, forKey: delivery.stanza)
                        #expect(before != .acked && before != .failed)
                    default: break
                    }
                    if next.allSatisfy({ $0 == each }), finals.count == writers * each, finals.values.allSatisfy({ $0 == .acked }) { break }
                }
                return finals.count
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for writer in 0..<writers {
                    group.addTask {
                        for number in 0..<each {
                            try await client.sendMessage(to: jid, "\(writer) \(number)")
                            if number % 5 == 0 { _ = try await client.request("<iq type='get' to='cert.localhost'><ping xmlns='urn:xmpp:ping'/></iq>") }
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await reading.value == writers * each)
            // Whoever closes, closes once.
            await withTaskGroup(of: Void.self) { group in for _ in 0..<5 { group.addTask { await client.close() } } }
            #expect(await client.offline?.blame == .stopped)
        }

        /// News that nobody reads neither grows without a limit nor stops the client.
        @Test func whoOnlySendsGoesOn() async throws {
            let server = try world.server("dev")
            let reader = try await connect(server.other, Way.directTLS.transport(server))
            let jid = try await reader.online().jid
            let sender = try await connect(server.password, Way.directTLS.transport(server))
            let count = Client.deliveriesLimit + 500
            let sending = Task { for number in 0..<count { try await sender.sendMessage(to: jid, "\(number)") } }
            for number in 0..<count { #expect(try await reader.message().body == "\(number)") }
            try await sending.value
            // A request's answer comes after the acknowledgements of all that was sent before it, or they come soon.
            _ = try await sender.request("<iq type='get' to='cert.localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
            #expect(await sender.waitingEvents <= Client.deliveriesLimit + 10)
            await sender.close()
            var lost = 0
            var finals = 0
            for await event in sender.events {
                switch event {
                case .notice(let notice) where notice.code == "deliveries_lost": lost += 1
                case .delivery(let delivery): if delivery.stage == .acked { finals += 1 }
                default: break
                }
            }
            #expect(lost == 1)
            #expect(finals > Client.deliveriesLimit - 500)
            await reader.close()
        }

        @Test func otherCredentialsLogInAfterAnInterruption() async throws {
            let server = try world.server("dev")
            let client = try await connect(server.password, Way.directTLS.transport(server))
            let first = try await client.online()
            #expect(first.mechanism.hasPrefix("SCRAM-"))
            // What comes back shows that the session can be resumed by now: it is enabled before.
            try await client.sendMessage(to: first.jid, "before")
            #expect(try await client.message().body == "before")
            try await client.provide(.certificate(server.certificate.identity()))
            try world.say("cut dev")
            let again = try await client.online()
            #expect(again.mechanism == "EXTERNAL")
            #expect(again.isResumed)
            // Those that the server refuses are the end.
            try await client.provide(.password("not the password"))
            try world.say("cut dev")
            let end = try await client.next { if case .offline(let reason) = $0 { reason } else { nil } }
            #expect(end.blame == .login)
            #expect(end.condition == "not-authorized")
            await client.close()
            await #expect(throws: EpodeError.notOnline) { try await client.provide(.password("too late")) }
        }

        @Test func anExpiredCertificateIsNotTakenLaterEither() async throws {
            let server = try world.server("dev")
            let client = try await connect(server.password, Way.directTLS.transport(server))
            let expired = try server.expired.identity()
            do {
                try await client.provide(.certificate(expired))
                Issue.record("taken")
            } catch EpodeError.configuration(let sentence) {
                #expect(sentence.contains("expired on"))
            }
            await client.close()
        }
    }
}
