// Keys of SCRAM, as the engine asks its host to derive them.

import EpodeEngine
import Foundation

/// What the engine asks for when a server challenges it with this salt and count: it logs in as far as that.
func derivation(mechanism: String, password: String, salt: String, iterations: UInt32) throws -> Derivation {
    let config = Config(
        jid: "user@example.org",
        credentials: .password(password: Data(password.utf8)),
        transports: [.tcp(host: "xmpp.example.org", port: 5223, tls: .direct)],
        mechanisms: Mechanisms(only: [mechanism], scramMin: 1),
        keyDerivation: .host
    )
    let client = try Client(config: config, seed: Data(repeating: 7, count: 32))
    _ = try client.handle(now: 0, input: .start)
    let exporter = ChannelBindings(tlsExporter: Data(repeating: 9, count: 32))
    let info = LinkInfo(encrypted: true, verified: .host(name: "example.org"), channelBindings: exporter)
    _ = try client.handle(now: 0, input: .connected(link: 1, info: info))
    let first = try client.received(
        now: 0, link: 1,
        bytes: Data(
            """
            <?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
            version='1.0' id='1' from='example.org'><stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
            <mechanism>\(mechanism)</mechanism></mechanisms></stream:features>
            """.utf8))
    let written = first.outputs.compactMap { if case .write(_, let bytes) = $0 { String(data: bytes, encoding: .utf8) } else { nil } }
    guard let message = inside("auth", of: written.joined()), let nonce = attribute("r", of: message) else {
        throw Unexpected("the engine did not begin \(mechanism): \(written)")
    }
    let challenge = Data("r=\(nonce)server,s=\(salt),i=\(iterations)".utf8).base64EncodedString()
    let asked = try client.received(
        now: 0, link: 1,
        bytes: Data("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\(challenge)</challenge>".utf8))
    for case .deriveKey(_, let derivation) in asked.outputs { return derivation }
    throw Unexpected("the engine asked for no key: \(asked.outputs)")
}

/// The two keys of RFC 5802 §3, which are at the end of the bytes that a host keeps.
func keys(of key: DerivedKey) -> (client: Data, server: Data) {
    let length: Int
    switch key.hash() {
    case .sha1: length = 20
    case .sha256: length = 32
    case .sha384: length = 48
    case .sha512, .other: length = 64
    }
    let bytes = key.toBytes()
    return (Data(bytes.suffix(2 * length).prefix(length)), Data(bytes.suffix(length)))
}

/// What is in the first element of this name, out of base64.
func inside(_ element: String, of text: String) -> String? {
    guard let tag = text.range(of: "<\(element)[ >]", options: .regularExpression),
        let open = text[tag.lowerBound...].firstIndex(of: ">"),
        let close = text[open...].range(of: "</\(element)>")
    else { return nil }
    return Data(base64Encoded: String(text[text.index(after: open)..<close.lowerBound])).flatMap { String(data: $0, encoding: .utf8) }
}

/// The value of an attribute of a SCRAM message, RFC 5802 §5.1.
func attribute(_ name: Character, of message: String) -> String? {
    message.split(separator: ",").first { $0.hasPrefix("\(name)=") }.map { String($0.dropFirst(2)) }
}
