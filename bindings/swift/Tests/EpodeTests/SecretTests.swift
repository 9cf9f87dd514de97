// No description, and nothing that `dump` shows, holds what logs in.
import Epode
import Foundation
import Testing

@Suite struct Secrets {
    private static let secret = "correct horse battery staple"

    /// Everything that an application could print of a value.
    private func shown(_ value: Any) -> [String] {
        var dumped = ""
        dump(value, to: &dumped)
        return [String(describing: value), String(reflecting: value), "\(value)", "\([value])", "\(["key": value])", dumped]
    }

    private func expectHidden(_ secret: Data, in value: Any, _ location: SourceLocation = #_sourceLocation) {
        let bytes = secret.prefix(4)
        let forms = [
            String(decoding: secret, as: UTF8.self), secret.base64EncodedString(), secret.map { String(format: "%02x", $0) }.joined(),
            // As `dump` shows Data: a line for each byte.
            bytes.map { "- \($0)" }.joined(separator: "\n"), bytes.map { "\($0)" }.joined(separator: ", "),
        ]
        for text in shown(value) {
            let squeezed = text.replacingOccurrences(of: "\n *- ", with: "\n- ", options: .regularExpression)
            for form in forms { #expect(!squeezed.contains(form), "\(text)", sourceLocation: location) }
            #expect(!text.contains("\(secret.count) bytes"), "\(text)", sourceLocation: location)
        }
    }

    @Test func theFormsThatAreLookedForAreThoseOfWhatIsShown() {
        struct Open { let key: Data }
        let text = shown(Open(key: Data(Self.secret.utf8))).joined()
        #expect(text.contains("\(Self.secret.utf8.count) bytes"))
    }

    @Test func credentialsShowTheirKind() {
        let secret = Data(Self.secret.utf8)
        let kinds: [Credentials] = [.password(Self.secret), .accessToken(Self.secret), .scramKey(secret), .newAccount(password: Self.secret)]
        for credentials in kinds {
            expectHidden(secret, in: credentials)
            expectHidden(secret, in: Optional(credentials) as Any)
        }
        #expect("\(Credentials.password(Self.secret))" == "Credentials(password)")
    }

    @Test func factsShowNoBindings() {
        let secret = Data((0..<32).map { UInt8(200 - $0) })
        var facts = LinkFacts(isEncrypted: true, verifiedName: "localhost")
        facts.channelBindings.exporter = secret
        facts.channelBindings.unique = secret
        facts.channelBindings.serverEndPoint = secret
        expectHidden(secret, in: facts)
        expectHidden(secret, in: facts.channelBindings)
        #expect("\(facts.channelBindings)" == "ChannelBindings(tls-exporter, tls-unique, tls-server-end-point)")
    }

    @Test func optionsHoldNoSecret() {
        var options = Options()
        options.stateFolder = URL(fileURLWithPath: "/nowhere")
        options.tasks["EXAMPLE"] = { _ in Self.secret }
        expectHidden(Data(Self.secret.utf8), in: options)
    }
}

extension WithServers {
    @Suite(.serialized, .timeLimit(.minutes(2))) struct SecretsOfALogin {
        @Test func neitherIdentityNorClientShowsWhatLogsIn() async throws {
            let world = try World.get()
            let server = try world.server("dev")
            let key = try String(contentsOfFile: server.certificate.key, encoding: .utf8)
            let lines = key.split(separator: "\n").filter { !$0.hasPrefix("-") }
            try #require(!lines.isEmpty)
            let identity = try server.certificate.identity()
            let credentials = Credentials.certificate(identity, password: server.password.password)
            let client = try await Epode.connect(
                server.certificate.jid, Way.directTLS.transport(server), credentials: credentials, options: world.options())
            let derived = try #require(await client.scramKey)
            for value in [identity, credentials, client] as [any Sendable] {
                var dumped = ""
                dump(value, to: &dumped)
                for text in ["\(value)", String(reflecting: value), dumped] {
                    #expect(!text.contains(server.password.password), "\(text)")
                    #expect(!text.contains(derived.base64EncodedString()), "\(text)")
                    for line in lines { #expect(!text.contains(line), "\(text)") }
                    #expect(!text.contains("bytes"), "\(text)")
                }
            }
            // What went wrong says nothing of it either.
            await client.close()
            do {
                _ = try ClientIdentity(pkcs12File: URL(fileURLWithPath: server.certificate.p12), password: "not this one")
                Issue.record("opened")
            } catch {
                #expect(!"\(error) \(error.localizedDescription)".contains("not this one"))
            }
        }
    }
}
