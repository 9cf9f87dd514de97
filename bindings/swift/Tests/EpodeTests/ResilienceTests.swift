// Connections that are cut, applications that are slow, and tasks that are cancelled.
import Epode
import Foundation
import Testing

extension WithServers {
    @Suite(.serialized, .timeLimit(.minutes(5))) struct Resilience {
        let world: World

        init() throws { world = try World.get() }

        @Test(arguments: realServers, Way.allCases)
        func nothingIsLostWhenTheConnectionIsCut(_ name: String, _ way: Way) async throws {
            let server = try world.server(name)
            let client = try await Epode.connect(
                server.password.jid, way.transport(server), credentials: .password(server.password.password), options: world.options())
            let jid = try await client.online().jid
            try await client.sendMessage(to: jid, "before")
            #expect(try await client.message().body == "before")
            try world.say("cut \(name)")
            var sent = try await client.sendMessage(to: jid, "after")
            var interrupted = false
            var resumed = false
            // A real server may end a BOSH session over a request that was under way when the connection was cut, and keeps only so many
            // answers for a client that has not seen them (XEP-0124 §14.2): there it is asked again, for the client goes on.
            let settled: [Delivery.Stage] = way == .bosh && name != "dev" ? [.acked, .failed] : [.failed]
            while true {
                let message: Message? = try await client.next { event -> Message?? in
                    switch event {
                    case .interrupted: interrupted = true
                    case .online(let online): resumed = online.isResumed
                    case .message(let message): return .some(message)
                    case .delivery(let delivery) where settled.contains(delivery.stage) && delivery.stanza == sent: return .some(nil)
                    default: break
                    }
                    return nil
                }
                if let message {
                    #expect(message.body == "after")
                    break
                }
                try #require(way == .bosh && name != "dev")
                sent = try await client.sendMessage(to: String(jid.prefix { $0 != "/" }), "after")
            }
            if way != .bosh {
                #expect(interrupted && resumed)
            } else if name == "dev" {
                // The session goes on over new connections.
                #expect(!interrupted)
            }
            await client.close()
        }

        @Test(arguments: realServers, Way.allCases)
        func aSlowReaderStopsTheReadingAndLosesNothing(_ name: String, _ way: Way) async throws {
            let server = try world.server(name)
            let count = 3_000
            let slow = try await Epode.connect(
                server.password.jid, way.transport(server), credentials: .password(server.password.password), options: world.options())
            let jid = try await slow.online().jid
            let sender = try await Epode.connect(
                server.other.jid, Way.directTLS.transport(server), credentials: .password(server.other.password), options: world.options())
            let padding = String(repeating: "x", count: 1_000)
            async let sent: Void = {
                for number in 0..<count { try await sender.sendMessage(to: jid, "\(number) \(padding)") }
            }()
            // Until it stops by itself.
            var waiting = 0
            var same = 0
            while same < 20 {
                try await Task.sleep(for: .milliseconds(50))
                let now = await slow.waitingEvents
                same = now == waiting && now >= Client.waitingLimit ? same + 1 : 0
                waiting = now
            }
            // One read, or one answer of BOSH, may go beyond the limit.
            #expect(waiting < Client.waitingLimit + 700, "\(waiting)")
            var next = 0
            while next < count {
                let body = try #require(try await slow.message().body)
                try #require(body.hasPrefix("\(next) "), "\(body.prefix(20)) instead of \(next)")
                next += 1
            }
            try await sent
            await sender.close()
            await slow.close()
        }

        @Test(arguments: Way.allCases)
        func aLoginThatIsCancelledLeavesNothingBehind(_ way: Way) async throws {
            let server = try world.server("silent")
            let options = try world.options()
            let before = try await Held.settled()
            for wait in [0, 5, 300] {
                let login = Task {
                    try await Epode.connect(
                        server.password.jid, way.transport(server), credentials: .password(server.password.password), options: options)
                }
                try await Task.sleep(for: .milliseconds(wait))
                login.cancel()
                await #expect(throws: CancellationError.self) { try await login.value }
            }
            try await Held.comesBack(to: before)
        }

        @Test(arguments: Way.allCases)
        func aClientThatIsClosedLeavesNothingBehind(_ way: Way) async throws {
            let server = try world.server("dev")
            let before = try await Held.settled()
            for _ in 0..<3 {
                let client = try await Epode.connect(
                    server.password.jid, way.transport(server), credentials: .password(server.password.password), options: world.options())
                await client.close()
            }
            try await Held.comesBack(to: before)
        }

        @Test(arguments: Way.allCases)
        func aClientThatIsDroppedLeavesNothingBehind(_ way: Way) async throws {
            let server = try world.server("dev")
            let before = try await Held.settled()
            _ = try await Epode.connect(
                server.password.jid, way.transport(server), credentials: .password(server.password.password), options: world.options())
            try await Held.comesBack(to: before)
        }

        @Test func tasksThatWaitAreCancelled() async throws {
            let server = try world.server("dev")
            let client = try await Epode.connect(
                server.password.jid, Way.directTLS.transport(server), credentials: .password(server.password.password),
                options: world.options())
            let jid = try await client.online().jid
            // Nobody answers: the request goes to this client itself, which is not told of it.
            let request = Task { try await client.request("<iq type='get' to='\(jid)'><query xmlns='urn:example:nobody'/></iq>") }
            try await Task.sleep(for: .milliseconds(5))
            request.cancel()
            await #expect(throws: (any Error).self) { try await request.value }
            // The next event never comes.
            let reading = Task {
                for await event in client.events { if case .offline = event { return true } }
                return false
            }
            try await Task.sleep(for: .milliseconds(50))
            reading.cancel()
            #expect(await reading.value == false)
            await client.close()
            await #expect(throws: EpodeError.notOnline) { try await client.sendMessage(to: jid, "too late") }
        }
    }
}

/// What this process holds of the system.
struct Held: Equatable {
    let files: Int
    let linkThreads: Int

    static func now() throws -> Held {
        let files = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").filter {
            guard let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)") else { return false }
            return target.hasPrefix("socket:")
        }
        let threads = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").filter {
            (try? String(contentsOfFile: "/proc/self/task/\($0)/comm", encoding: .utf8))?.hasPrefix("epode link") == true
        }
        return Held(files: files.count, linkThreads: threads.count)
    }

    /// What is held once no link is left of the tests before.
    static func settled() async throws -> Held {
        var held = try now()
        for _ in 0..<100 where held.linkThreads > 0 {
            try await Task.sleep(for: .milliseconds(50))
            held = try now()
        }
        try #require(held.linkThreads == 0)
        return held
    }

    static func comesBack(to before: Held) async throws {
        var held = try now()
        for _ in 0..<200 where held.linkThreads > before.linkThreads || held.files > before.files {
            try await Task.sleep(for: .milliseconds(50))
            held = try now()
        }
        #expect(held.linkThreads <= before.linkThreads && held.files <= before.files, "\(held) after \(before)")
    }
}
