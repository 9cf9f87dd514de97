// The few fields of a certificate (RFC 5280 §4.1) that Apple's Security framework does not tell on every system.
import Foundation

/// What a certificate says about itself. Nothing is verified here: that is the platform's.
struct CertificateFields: Sendable, Equatable {
    /// The object identifier of the algorithm that it is signed with, as it is encoded.
    var signatureAlgorithm: Data
    var validFrom: Date
    var validUntil: Date
    /// Whether it may log in as a client: it does not say what it is for, or it says this (RFC 5280 §4.2.1.12).
    var isForClients: Bool

    /// `nil` for what is no certificate.
    init?(der: Data) {
        var outer = DER(der)
        guard var certificate = outer.enter(.sequence), var body = certificate.enter(.sequence), outer.isAtEnd else { return nil }
        guard var algorithm = certificate.enter(.sequence), let identifier = algorithm.value(of: .objectIdentifier) else { return nil }
        signatureAlgorithm = identifier
        _ = body.value(of: .version)
        // The serial number, the signature's algorithm again, the issuer, the validity, the subject and its key.
        guard body.value(of: .integer) != nil, body.value(of: .sequence) != nil, body.value(of: .sequence) != nil,
            var validity = body.enter(.sequence), let from = validity.time(), let until = validity.time(),
            body.value(of: .sequence) != nil, body.value(of: .sequence) != nil
        else { return nil }
        validFrom = from
        validUntil = until
        // Two unique identifiers that nobody uses, and the extensions.
        _ = body.value(of: .issuerIdentifier)
        _ = body.value(of: .subjectIdentifier)
        isForClients = true
        guard var tagged = body.enter(.extensions) else { return }
        guard var extensions = tagged.enter(.sequence) else { return nil }
        while !extensions.isAtEnd {
            guard var one = extensions.enter(.sequence), let identifier = one.value(of: .objectIdentifier) else { return nil }
            _ = one.value(of: .boolean)
            guard let value = one.value(of: .octets) else { return nil }
            guard identifier == Self.extendedKeyUsage else { continue }
            var usages = DER(value)
            guard var list = usages.enter(.sequence) else { return nil }
            isForClients = false
            while !list.isAtEnd {
                guard let usage = list.value(of: .objectIdentifier) else { return nil }
                if usage == Self.clientAuth || usage == Self.anyUsage { isForClients = true }
            }
        }
    }

    /// id-ce-extKeyUsage, id-kp-clientAuth and anyExtendedKeyUsage.
    private static let extendedKeyUsage = Data([0x55, 0x1d, 0x25])
    private static let clientAuth = Data([0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02])
    private static let anyUsage = Data([0x55, 0x1d, 0x25, 0x00])

    /// With what `tls-server-end-point` hashes this certificate: the hash of its signature, but SHA-256 for MD5 and SHA-1. `nil` where
    /// the signature has no hash of its own, as Ed25519, or several, as RSASSA-PSS may: RFC 5929 §4.1 leaves it undefined then.
    var endPointHash: EndPointHash? {
        Self.hashes[signatureAlgorithm]
    }

    enum EndPointHash: Sendable {
        case sha256, sha384, sha512
    }

    /// RFC 8017 appendix C (1.2.840.113549.1.1.x) and RFC 5758 §3.2 (1.2.840.10045.4.x).
    private static let hashes: [Data: EndPointHash] = {
        let rsa: [UInt8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01], ecdsa: [UInt8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04]
        return [
            Data(rsa + [4]): .sha256, Data(rsa + [5]): .sha256, Data(rsa + [11]): .sha256, Data(rsa + [12]): .sha384,
            Data(rsa + [13]): .sha512, Data(ecdsa + [1]): .sha256, Data(ecdsa + [3, 2]): .sha256, Data(ecdsa + [3, 3]): .sha384,
            Data(ecdsa + [3, 4]): .sha512,
        ]
    }()
}

/// The certificates in PEM (RFC 7468), in DER; `nil` if there are none, or one is cut.
func certificates(inPEM pem: Data) -> [Data]? {
    var found: [Data] = []
    var rest = String(decoding: pem, as: UTF8.self)[...]
    while let begin = rest.range(of: "-----BEGIN CERTIFICATE-----") {
        guard let end = rest[begin.upperBound...].range(of: "-----END CERTIFICATE-----"),
            let der = Data(base64Encoded: rest[begin.upperBound..<end.lowerBound].filter { !$0.isWhitespace })
        else { return nil }
        found.append(der)
        rest = rest[end.upperBound...]
    }
    return found.isEmpty ? nil : found
}

/// Reads DER (X.690) from the front. What does not fit is `nil`, and nothing is read then.
private struct DER {
    enum Tag: UInt8 {
        case boolean = 0x01
        case integer = 0x02
        case octets = 0x04
        case objectIdentifier = 0x06
        case utcTime = 0x17
        case generalizedTime = 0x18
        case sequence = 0x30
        /// [0] of a certificate's body, and so on: RFC 5280 §4.1.
        case version = 0xa0
        case issuerIdentifier = 0x81
        case subjectIdentifier = 0x82
        case extensions = 0xa3
    }

    private var rest: Data

    init(_ data: Data) {
        rest = data
    }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func enter(_ tag: Tag) -> DER? {
        value(of: tag).map(DER.init)
    }

    mutating func value(of tag: Tag) -> Data? {
        guard rest.first == tag.rawValue, let first = rest.dropFirst().first else { return nil }
        var body = rest.dropFirst(2), length = Int(first)
        if first & 0x80 != 0 {
            let digits = Int(first & 0x7f)
            guard (1...4).contains(digits), body.count >= digits else { return nil }
            length = body.prefix(digits).reduce(0) { $0 << 8 | Int($1) }
            body = body.dropFirst(digits)
        }
        guard body.count >= length else { return nil }
        rest = body.dropFirst(length)
        return Data(body.prefix(length))
    }

    /// RFC 5280 §4.1.2.5: until 2049 with two digits for the year, and always in UTC to the second.
    mutating func time() -> Date? {
        var digits: String
        if let short = value(of: .utcTime) {
            digits = String(decoding: short, as: UTF8.self)
            guard let year = Int(digits.prefix(2)) else { return nil }
            digits = (year < 50 ? "20" : "19") + digits
        } else if let long = value(of: .generalizedTime) {
            digits = String(decoding: long, as: UTF8.self)
        } else {
            return nil
        }
        guard digits.utf8.count == 15, digits.last == "Z", digits.utf8.dropLast().allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        func number(_ from: Int, _ count: Int) -> Int? { Int(digits.dropFirst(from).prefix(count)) }
        var calendar = Calendar(identifier: .gregorian)
        guard let utc = TimeZone(secondsFromGMT: 0) else { return nil }
        calendar.timeZone = utc
        return calendar.date(
            from: DateComponents(
                year: number(0, 4), month: number(4, 2), day: number(6, 2), hour: number(8, 2), minute: number(10, 2), second: number(12, 2)))
    }
}
