// What a newcomer copies works: the block of the README, and the echo bot.
import Epode
import Foundation
import Testing

extension WithServers {
    @Suite(.serialized, .timeLimit(.minutes(2))) struct Examples {
        let world: World

        init() throws { world = try World.get() }

        @Test func theBlockOfTheReadmeIsTheOneThatRuns() async throws {
            let here = URL(fileURLWithPath: #filePath)
            let block = try String(contentsOf: here.deletingLastPathComponent().appendingPathComponent("ReadmeExample.swift"), encoding: .utf8)
            let readme = here.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("README.md")
            #expect(try String(contentsOf: readme, encoding: .utf8).contains("```swift\n\(block)```"), "Tests/EpodeTests/ReadmeExample.swift differs")
            let server = try world.server("dev")
            try await noteToMyself(
                at: server.websocket, with: server.certificate.identity(), trusting: Data(contentsOf: URL(fileURLWithPath: world.ca)))
        }

        @Test func theEchoBotEchoes() async throws {
            let server = try world.server("dev")
            let bot = Process()
            bot.executableURL = try FileManager.default.url(forProgram: "echo")
            bot.arguments = [server.certificate.jid, server.websocket.absoluteString, server.certificate.cert, server.certificate.key, world.ca]
            let said = Pipe()
            bot.standardOutput = said
            try bot.run()
            let client = try await Epode.connect(
                server.other.jid, Way.startTLS.transport(server), credentials: .password(server.other.password), options: world.options())
            // Until the bot is there, nobody answers.
            let asking = Task {
                while !Task.isCancelled {
                    try await client.sendMessage(to: server.certificate.jid, "hello")
                    try await Task.sleep(for: .milliseconds(200))
                }
            }
            #expect(try await client.next { if case .message(let message) = $0, message.type == "chat" { message.body } else { nil } } == "hello")
            asking.cancel()
            try await client.sendMessage(to: server.certificate.jid, "bye")
            let text = try await Task.detached { try said.fileHandleForReading.readToEnd() }.value
            bot.waitUntilExit()
            #expect(bot.terminationStatus == 0)
            let lines = String(decoding: text ?? Data(), as: UTF8.self)
            #expect(lines.contains("online as alice@cert.localhost/") && lines.contains("says: hello"), "\(lines)")
            await client.close()
        }
    }
}

extension FileManager {
    /// A program of this package, which is built beside its tests.
    fileprivate func url(forProgram name: String) throws -> URL {
        let tests = URL(fileURLWithPath: try destinationOfSymbolicLink(atPath: "/proc/self/exe"))
        let url = tests.deletingLastPathComponent().appendingPathComponent(name)
        return try #require(isExecutableFile(atPath: url.path) ? url : nil, "there is no \(url.path)")
    }
}
