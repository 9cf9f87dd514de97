// The fields of a certificate, as OpenSSL finds them too; and SRV records.
import Foundation
import XCTest

@testable import Epode

final class CertificateTests: XCTestCase {
    /// The certificates of the test world: who vouches for its servers, and two of clients.
    private func files() throws -> [(certificate: URL, key: URL?)] {
        guard let path = ProcessInfo.processInfo.environment["EPODE_WORLD"] else {
            throw LinkFailure.other("EPODE_WORLD is not set: run tests/run swift, which starts the test world")
        }
        let world = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: path))) as? [String: Any]
        let dev = (world?["servers"] as? [String: Any])?["dev"] as? [String: Any]
        let clients = try ["certificate", "expired"].map { name in
            let client = dev?[name] as? [String: String]
            return (URL(fileURLWithPath: try XCTUnwrap(client?["cert"])), URL(fileURLWithPath: try XCTUnwrap(client?["key"])))
        }
        return clients + [(URL(fileURLWithPath: try XCTUnwrap(world?["ca"] as? String)), nil)]
    }

    func testTheFieldsAreThoseThatThePlatformFinds() throws {
        for (file, key) in try files() {
            let ders = try XCTUnwrap(certificates(inPEM: Data(contentsOf: file)), file.path)
            let fields = try XCTUnwrap(CertificateFields(der: ders[0]), file.path)
            XCTAssertNotNil(fields.endPointHash, file.path)
            XCTAssertLessThan(fields.validFrom, fields.validUntil)
            guard let key else { continue }
            let platform = try ClientIdentity(pemFile: file, keyFile: key).platform
            XCTAssertEqual(ders[0], platform.leaf, file.path)
            XCTAssertEqual(fields.validFrom, platform.validFrom, file.path)
            XCTAssertEqual(fields.validUntil, platform.validUntil, file.path)
            XCTAssertEqual(fields.isForClients, platform.isForClients, file.path)
        }
    }

    func testWhatIsCutOrChangedIsNoCertificateOrAnotherOne() throws {
        let ders = try XCTUnwrap(certificates(inPEM: Data(contentsOf: try files()[0].certificate)))
        for size in 0..<ders[0].count { XCTAssertNil(CertificateFields(der: ders[0].prefix(size)), "\(size)") }
        XCTAssertNil(CertificateFields(der: ders[0] + [0]))
        // It must not matter where in memory the bytes are, and no byte may lead astray.
        XCTAssertEqual(CertificateFields(der: (Data([1, 2, 3]) + ders[0]).dropFirst(3)), CertificateFields(der: ders[0]))
        for at in ders[0].indices {
            for value in [UInt8(0x00), 0x30, 0x7f, 0x80, 0x84, 0xff] {
                var changed = ders[0]
                changed[at] = value
                _ = CertificateFields(der: changed)
            }
        }
    }

    func testWhatIsNoPEMHasNoCertificates() {
        for text in ["", "-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\n#\n-----END CERTIFICATE-----", "MIIB"] {
            XCTAssertNil(certificates(inPEM: Data(text.utf8)), text)
        }
    }

    func testTheRecordsOfServices() {
        let head: [UInt8] = [0, 1, 0, 2, 0x14, 0x66]
        let one = Service(record: Data(head + [2, 0x61, 0x62, 1, 0x63, 0]))
        XCTAssertEqual(one, Service(priority: 1, weight: 2, port: 5222, target: "ab.c"))
        XCTAssertEqual(Service(record: Data(head + [0]))?.target, ".")
        for wrong: [UInt8] in [[], [1], [1, 0x61], [2, 0x61, 0], [1, 0x2e, 0], [1, 0x20, 0], [64], [0, 0], [0xc0, 0x0c]] {
            XCTAssertNil(Service(record: Data(head + wrong)), "\(wrong)")
        }
        XCTAssertNil(Service(record: Data(head.dropLast())))
    }
}
