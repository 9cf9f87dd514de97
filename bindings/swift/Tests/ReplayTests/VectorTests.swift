// The vectors, as far as what they are about crosses the binding.

import EpodeEngine
import Foundation
import XCTest

final class VectorTests: XCTestCase {
    /// The files of which something crosses the binding.
    static let vectors = ["jid.json", "scram.json"]

    private func vectors(_ name: String) throws -> [String: JSON] {
        XCTAssertTrue(Self.vectors.contains(name), name)
        return try JSON.read(Data(contentsOf: repository.appendingPathComponent("tests/vectors/\(name)"))).fields()
    }

    /// SHA-256 and HMAC of this test itself: FIPS 180-4's own example of one block, and RFC 4231 §4.3.
    func testTheHashOfTheseTests() throws {
        XCTAssertEqual(
            sha256(Data("abc".utf8)), try hexadecimal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"))
        XCTAssertEqual(
            hmac(key: Data("Jefe".utf8), Data("what do ya want for nothing?".utf8)),
            try hexadecimal("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"))
    }

    func testTheKeysOfScram() throws {
        let exchanges = try vectors("scram.json")["exchanges", default: .null].array()
        XCTAssertGreaterThan(exchanges.count, 10)
        for exchange in exchanges {
            let row = try exchange.fields()
            func text(_ name: String) throws -> String { try row[name, default: .null].string() }
            let name = try text("name"), serverFirst = try text("server_first")
            guard let salt = attribute("s", of: serverFirst), let count = attribute("i", of: serverFirst).flatMap(UInt32.init) else {
                XCTFail("\(name): no salt or no count")
                continue
            }
            let hash = try text("mechanism").replacingOccurrences(of: "-PLUS", with: "")
            let derivation = try derivation(mechanism: hash, password: text("password"), salt: salt, iterations: count)
            XCTAssertEqual(derivation.salt(), Data(base64Encoded: salt), name)
            XCTAssertEqual(derivation.iterations(), count, name)
            let key = derivation.run(), expected = try (hexadecimal(text("client_key")), hexadecimal(text("server_key")))
            XCTAssertTrue(keys(of: key) == expected, name)
            // Whoever has PBKDF2 in hardware hands in what it gave.
            let salted = try derivation.withSaltedPassword(saltedPassword: hexadecimal(text("salted_password")))
            XCTAssertEqual(salted.toBytes(), key.toBytes(), name)
            XCTAssertEqual(try DerivedKey.fromBytes(bytes: key.toBytes()).toBytes(), key.toBytes(), name)
            XCTAssertThrowsError(try DerivedKey.fromBytes(bytes: key.toBytes().dropLast()), name)
            XCTAssertThrowsError(try derivation.withSaltedPassword(saltedPassword: Data([1, 2, 3])), name)
        }
    }

    func testAddresses() throws {
        let rows = try vectors("jid.json")
        for row in try rows["valid", default: .null].array().map({ try $0.fields() }) {
            let given = try row["in", default: .null].string(), prepared = try row["out", default: .null].string()
            let slash = prepared.firstIndex(of: "/") ?? prepared.endIndex
            let bare = prepared[..<slash], resource = prepared[slash...].dropFirst()
            guard bare.contains("@") else {
                // It is an address, but nobody's who logs in.
                XCTAssertThrowsError(try client(given), given) {
                    guard case .Configuration = $0 as? Refused else { return XCTFail("\(given): \($0)") }
                }
                continue
            }
            let said = try login(as: given)
            XCTAssertTrue(said.contains(" from='\(escaped(bare))'"), "\(given): \(said)")
            XCTAssertEqual(resource.isEmpty, !said.contains("<resource>"), "\(given): \(said)")
            XCTAssertTrue(resource.isEmpty || said.contains("<resource>\(escaped(resource))</resource>"), "\(given): \(said)")
        }
        for row in try rows["invalid", default: .null].array().map({ try $0.fields() }) {
            let given = try row["in", default: .null].string(), error = try row["error", default: .null].string()
            XCTAssertThrowsError(try client(given), given) { XCTAssertEqual($0 as? Refused, .Jid(why: error), given) }
        }
        for row in try rows["lengths", default: .null].array().map({ try $0.fields() }) {
            let times: Int = try row["times", default: .null].number()
            let part = String(repeating: try row["repeat", default: .null].string(), count: times)
            let jid: String
            switch try row["part", default: .null].string() {
            case "local": jid = "\(part)@example.com"
            case "domain": jid = "user@\(part)"
            case "resource": jid = "user@example.com/\(part)"
            case let other: throw Unexpected("no JID has a \(other)")
            }
            XCTAssertEqual((try? client(jid)) != nil, try row["valid", default: .null].bool(), "\(row)")
        }
    }

    private func client(_ jid: String) throws -> Client {
        let tcp = Transport.tcp(host: "xmpp.example.org", port: 5223, tls: .direct)
        let config = Config(jid: jid, credentials: .certificate(identity: "user", der: nil), transports: [tcp])
        return try Client(config: config, seed: Data(repeating: 7, count: 32))
    }

    /// What the client of this address says until it has asked for its resource.
    private func login(as jid: String) throws -> String {
        let client = try client(jid)
        let start = try client.handle(now: 0, input: .start)
        guard case .connect(_, _, let serverName, _, _)? = start.outputs.first else {
            throw Unexpected("no connection was asked for: \(start.outputs)")
        }
        let info = LinkInfo(encrypted: true, verified: .host(name: serverName))
        var steps = [try client.handle(now: 0, input: .connected(link: 1, info: info))]
        let header = """
            <?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
            version='1.0' id='1' from='\(escaped(serverName[...]))'><stream:features>
            """
        for said in [
            """
            \(header)<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>\
            </stream:features>
            """, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
            "\(header)<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>",
        ] {
            steps.append(try client.received(now: 0, link: 1, bytes: Data(said.utf8)))
        }
        let written = steps.flatMap(\.outputs).compactMap {
            if case .write(_, let bytes) = $0 { String(data: bytes, encoding: .utf8) } else { nil }
        }
        guard written.last?.contains("urn:ietf:params:xml:ns:xmpp-bind") ?? false else {
            throw Unexpected("no resource was asked for: \(steps)")
        }
        return written.joined()
    }

    private func escaped(_ text: Substring) -> String {
        text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "'", with: "&apos;")
            .replacingOccurrences(of: "<", with: "&lt;").replacingOccurrences(of: ">", with: "&gt;")
    }
}
