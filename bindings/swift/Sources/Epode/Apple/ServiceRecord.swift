// The data of an SRV record as it travels.
import Foundation

extension Service {
    /// From RDATA with an uncompressed name (RFC 2782, RFC 1035 §3.1); `nil` for what is not that.
    init?(record: Data) {
        let bytes = [UInt8](record)
        guard bytes.count > 6 else { return nil }
        func number(_ at: Int) -> UInt16 { UInt16(bytes[at]) << 8 | UInt16(bytes[at + 1]) }
        var labels: [String] = [], at = 6
        while true {
            guard at < bytes.count else { return nil }
            let length = Int(bytes[at])
            at += 1
            if length == 0 { break }
            guard length < 64, at + length <= bytes.count else { return nil }
            let label = bytes[at..<(at + length)]
            // A dot within a label would make another name of it.
            guard label.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: ".") }) else { return nil }
            labels.append(String(decoding: label, as: UTF8.self))
            at += length
        }
        guard at == bytes.count else { return nil }
        self.init(priority: number(0), weight: number(2), port: number(4), target: labels.isEmpty ? "." : labels.joined(separator: "."))
    }
}
