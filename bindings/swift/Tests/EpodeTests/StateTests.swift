// What a state folder keeps: a login token that logs in by itself, in files that nobody else can read.
import Epode
import Foundation
import Testing

extension WithServers {
    @Suite(.serialized, .timeLimit(.minutes(2))) struct State {
        let world: World
        let server: World.Server
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("epode-state-\(UUID().uuidString)")

        init() throws {
            world = try World.get()
            server = try world.server("modern")
        }

        private func options() throws -> Options {
            var options = try world.options()
            options.stateFolder = folder
            return options
        }

        private func mode(_ file: URL) throws -> Int {
            try #require(try FileManager.default.attributesOfItem(atPath: file.path)[.posixPermissions] as? NSNumber).intValue
        }

        private func files() throws -> [URL] {
            try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        }

        private func logIn(_ way: Way, _ credentials: Credentials) async throws -> Online {
            let client = try await Epode.connect(server.password.jid, way.transport(server), credentials: credentials, options: options())
            let online = try await client.online()
            await client.close()
            return online
        }

        private func refusal(_ credentials: Credentials) async throws -> String? {
            do {
                _ = try await logIn(.directTLS, credentials)
                Issue.record("logged in")
                return nil
            } catch EpodeError.configuration(let sentence) {
                return sentence
            }
        }

        @Test(arguments: Way.allCases)
        func aTokenThatWasKeptLogsInByItself(_ way: Way) async throws {
            defer { try? FileManager.default.removeItem(at: folder) }
            let first = try await logIn(way, .password(server.password.password))
            #expect(first.mechanism.hasPrefix("SCRAM-"))
            #expect(try mode(folder) == 0o700)
            let kept = try files()
            #expect(kept.map(\.lastPathComponent).contains("token"))
            for file in kept { #expect(try mode(file) == 0o600, "\(file.lastPathComponent)") }
            // Twice: what the second login stores logs in again.
            for _ in 0..<2 {
                let again = try await logIn(way, .keptToken)
                #expect(again.mechanism.hasPrefix("HT-"), "\(again.mechanism)")
                #expect(again.serverProof == .verified)
            }
            for file in try files() { #expect(try mode(file) == 0o600, "\(file.lastPathComponent)") }
        }

        @Test func aFolderOrFileThatOthersCanReadIsRefused() async throws {
            defer { try? FileManager.default.removeItem(at: folder) }
            _ = try await logIn(.directTLS, .password(server.password.password))
            let token = folder.appendingPathComponent("token")
            for open in [0o640, 0o604, 0o644] {
                try FileManager.default.setAttributes([.posixPermissions: open], ofItemAtPath: token.path)
                let sentence = try await refusal(.keptToken)
                #expect(sentence?.contains("chmod 600") == true, "\(sentence ?? "")")
            }
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: token.path)
            for open in [0o750, 0o705, 0o755] {
                try FileManager.default.setAttributes([.posixPermissions: open], ofItemAtPath: folder.path)
                let sentence = try await refusal(.keptToken)
                #expect(sentence?.contains("chmod 700") == true, "\(sentence ?? "")")
            }
            try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: folder.path)
            #expect(try await logIn(.directTLS, .keptToken).mechanism.hasPrefix("HT-"))
        }

        @Test func withoutATokenThereIsNothingToLogInWith() async throws {
            defer { try? FileManager.default.removeItem(at: folder) }
            do {
                _ = try await logIn(.directTLS, .keptToken)
                Issue.record("logged in")
            } catch let error as EpodeError {
                #expect(!error.localizedDescription.isEmpty)
            }
        }

        @Test func aDamagedTokenIsAsNone() async throws {
            defer { try? FileManager.default.removeItem(at: folder) }
            _ = try await logIn(.directTLS, .password(server.password.password))
            let token = folder.appendingPathComponent("token")
            try Data(repeating: 0x5a, count: 300).write(to: token)
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: token.path)
            let online = try await logIn(.directTLS, .password(server.password.password))
            #expect(online.mechanism.hasPrefix("SCRAM-"))
            #expect(try await logIn(.directTLS, .keptToken).mechanism.hasPrefix("HT-"))
        }

        @Test func aFileIsNoFolder() async throws {
            defer { try? FileManager.default.removeItem(at: folder) }
            try Data("x".utf8).write(to: folder)
            let sentence = try await refusal(.password(server.password.password))
            #expect(sentence?.contains(folder.path) == true, "\(sentence ?? "")")
        }
    }
}
