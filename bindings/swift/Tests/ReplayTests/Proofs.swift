// The proofs of a login, which a log leaves out: put back on their way in, and checked on their way out.

import EpodeEngine
import Foundation

/// One side of the exchanges in a log, computed here from the password: SCRAM-SHA-256 (RFC 5802, RFC 7677) and HT-SHA-256
/// (draft-schmaus-kitten-sasl-ht). A placeholder in a log begins with `*` and what it stands for, and is as long as that.
struct Proofs {
    let password: String
    private var exchange: Exchange?
    private var token = Data()
    private var bindings: [String: Data] = [:]
    /// How many were put back or checked.
    private(set) var count = 0

    init(password: String) {
        self.password = password
    }

    private enum Exchange {
        case scram(clientFirst: String, serverFirst: String?, authMessage: Data?, keys: (client: Data, server: Data)?)
        case ht(binding: Data)
    }

    /// The facts of a new link: what a login is bound to, as `-EXPR` and the like of HT name it.
    mutating func connected(_ info: JSON) throws {
        guard case .object(let found)? = try info.fields()["channel_bindings"] else { return }
        for (name, suffix) in [("tls_exporter", "EXPR"), ("tls_unique", "UNIQ"), ("tls_server_end_point", "ENDP")] {
            bindings[suffix] = found[name] == .null ? nil : try found[name].map(bytes)
        }
        bindings["NONE"] = Data()
    }

    /// What a server said, with its proof in its place.
    mutating func received(_ data: Data) throws -> Data {
        guard var text = String(data: data, encoding: .utf8) else { return data }
        if case .scram(let clientFirst, _, _, _)? = exchange, let challenge = inside("challenge", of: text) {
            guard let salt = attribute("s", of: challenge), let count = attribute("i", of: challenge).flatMap(UInt32.init) else {
                throw Unexpected("\(challenge) is no challenge of SCRAM")
            }
            let derivation = try derivation(mechanism: "SCRAM-SHA-256", password: password, salt: salt, iterations: count)
            exchange = .scram(
                clientFirst: clientFirst, serverFirst: challenge, authMessage: nil, keys: keys(of: derivation.run()))
        }
        if let place = placeholder("server-proof", in: text) {
            let proof: Data
            switch exchange {
            case .scram(_, _, let authMessage?, let keys?)?:
                proof = Data("v=\(hmac(key: keys.server, authMessage).base64EncodedString())".utf8)
            case .ht(let binding)?: proof = hmac(key: token, Data("Responder".utf8) + binding)
            default: throw Unexpected("a proof of the server that nothing led to: \(text)")
            }
            try put(proof, into: &text, at: place)
        }
        // The engine takes the placeholder for the token, so that it is what the next login is made of.
        if let place = placeholder("login-token", in: text) { token = Data(text[place].utf8) }
        return Data(text.utf8)
    }

    /// What the client said, with its proof checked and the placeholder in its place.
    mutating func sent(_ got: JSON, expected: JSON) throws -> JSON {
        switch (got, expected) {
        case (.object(let got), .object(let expected)):
            var same = got
            for (name, value) in got {
                if let expected = expected[name] { same[name] = try sent(value, expected: expected) }
            }
            return .object(same)
        case (.string(var text), .string(let expected)):
            note(text)
            guard let place = placeholder("client-proof", in: expected) else { return got }
            let before = expected[..<place.lowerBound], hidden = expected[place]
            guard text.hasPrefix(before), let end = text.index(text.startIndex, offsetBy: before.count + hidden.count, limitedBy: text.endIndex)
            else { return got }
            let start = text.index(text.startIndex, offsetBy: before.count)
            try check(String(text[start..<end]))
            text.replaceSubrange(start..<end, with: hidden)
            return .string(text)
        default: return got
        }
    }

    private mutating func note(_ text: String) {
        guard let mechanism = text.firstMatch(of: /mechanism='([A-Z0-9-]+)'/)?.output.1 else { return }
        if mechanism.hasPrefix("SCRAM-SHA-256"), let first = inside("auth", of: text) ?? inside("initial-response", of: text) {
            exchange = .scram(clientFirst: first, serverFirst: nil, authMessage: nil, keys: nil)
        } else if mechanism.hasPrefix("HT-SHA-256-"), let binding = bindings[String(mechanism.suffix(4))] {
            exchange = .ht(binding: binding)
        }
    }

    /// RFC 5802 §3: ClientProof is ClientKey XOR HMAC(H(ClientKey), AuthMessage).
    private mutating func check(_ base64: String) throws {
        guard let message = Data(base64Encoded: base64) else { throw Unexpected("\(base64) is no proof") }
        switch exchange {
        case .scram(let clientFirst, let serverFirst?, _, let keys?)?:
            guard let text = String(data: message, encoding: .utf8), let proof = attribute("p", of: text),
                let bare = clientFirst.split(separator: ",", maxSplits: 2, omittingEmptySubsequences: false).last
            else { throw Unexpected("this is no proof of SCRAM") }
            let withoutProof = text.dropLast(proof.count + 3)
            let authMessage = Data("\(bare),\(serverFirst),\(withoutProof)".utf8)
            let signature = hmac(key: sha256(keys.client), authMessage)
            guard Data(base64Encoded: proof) == Data(zip(keys.client, signature).map { $0 ^ $1 }) else {
                throw Unexpected("the client's proof is wrong")
            }
            exchange = .scram(clientFirst: clientFirst, serverFirst: serverFirst, authMessage: authMessage, keys: keys)
        case .ht(let binding)?:
            guard message.suffix(33) == Data([0]) + hmac(key: token, Data("Initiator".utf8) + binding) else {
                throw Unexpected("the client's proof that it has the token is wrong")
            }
        default: throw Unexpected("a proof of the client that nothing led to")
        }
        count += 1
    }

    private mutating func put(_ proof: Data, into text: inout String, at place: Range<String.Index>) throws {
        let base64 = proof.base64EncodedString()
        guard base64.count == text[place].count else { throw Unexpected("the proof is not as long as its placeholder: \(text)") }
        text.replaceSubrange(place, with: base64)
        count += 1
    }
}

private func placeholder(_ label: String, in text: String) -> Range<String.Index>? {
    text.range(of: "\\*\(label)\\**", options: .regularExpression)
}
