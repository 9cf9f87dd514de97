// The frames of a WebSocket: what must be refused (RFC 6455 §5), and that no cut and no size costs more than its bytes.
#if os(Linux)
    import Foundation
    import Testing

    @testable import Epode

    @Suite struct Frames {
        /// As a server sends it.
        static func frame(_ first: UInt8, _ payload: [UInt8]) -> [UInt8] {
            switch payload.count {
            case ..<126: return [first, UInt8(payload.count)] + payload
            case ..<65_536: return [first, 126, UInt8(payload.count >> 8), UInt8(payload.count & 0xff)] + payload
            default:
                let size = withUnsafeBytes(of: UInt64(payload.count).bigEndian) { Array($0) }
                return [first, 127] + size + payload
            }
        }

        @Test(arguments: [0, 1, 125, 126, 127, 65_535, 65_536, 100_000])
        func messagesOfEachLengthComeWhole(_ size: Int) throws {
            let payload = (0..<size).map { UInt8(ascii: "a") + UInt8($0 % 26) }
            var decoder = FrameDecoder(limit: 1 << 20)
            decoder.append(Data(Self.frame(0x81, payload) + Self.frame(0x81, [0x62])))
            #expect(try decoder.next() == .text(Data(payload)))
            #expect(try decoder.next() == .text(Data([0x62])))
            #expect(try decoder.next() == nil)
        }

        @Test func bytesMayBeCutAnywhere() throws {
            var stream = Self.frame(0x01, [0x61])
            stream += Self.frame(0x89, [0x70])
            stream += Self.frame(0x80, [0x62])
            stream += Self.frame(0x8a, [0x71])
            stream += Self.frame(0x81, [UInt8](repeating: 0x63, count: 300))
            stream += Self.frame(0x88, [0x03, 0xe8])
            var decoder = FrameDecoder(limit: 1_000)
            var seen: [FrameDecoder.Frame] = []
            for byte in stream {
                decoder.append(Data([byte]))
                while let frame = try decoder.next() { seen.append(frame) }
            }
            // A ping may come within a message, and a pong that nobody asked for means nothing.
            #expect(seen == [.ping(Data([0x70])), .text(Data([0x61, 0x62])), .text(Data(repeating: 0x63, count: 300)), .close])
        }

        static let refused: [String: [UInt8]] = {
            let long = [UInt8](repeating: 0x61, count: 126)
            let most = [UInt8](repeating: 0x61, count: 1_001)
            var all: [String: [UInt8]] = [:]
            all["a reserved bit, 1"] = frame(0xc1, [0x61])
            all["a reserved bit, 2"] = frame(0xa1, [0x61])
            all["a reserved bit, 3"] = frame(0x91, [0x61])
            all["a mask"] = [0x81, 0x81, 1, 2, 3, 4, 0x60]
            all["a ping in pieces"] = frame(0x09, [0x61])
            all["a close in pieces"] = frame(0x08, [])
            all["a pong in pieces"] = frame(0x0a, [])
            all["a long ping"] = frame(0x89, long)
            all["a long close"] = frame(0x88, long)
            all["a continuation of nothing"] = frame(0x80, [0x61])
            all["an unfinished continuation of nothing"] = frame(0x00, [0x61])
            all["a message within a message"] = frame(0x01, [0x61])
            all["a message within a message"]? += frame(0x81, [0x62])
            all["an empty continuation"] = frame(0x01, [0x61])
            all["an empty continuation"]? += frame(0x00, [])
            all["a binary message"] = frame(0x82, [0x61])
            all["an unknown message"] = frame(0x83, [0x61])
            all["an unknown control frame"] = frame(0x8b, [])
            all["too much at once"] = frame(0x81, most)
            all["too much in pieces"] = frame(0x01, Array(most[..<600]))
            all["too much in pieces"]? += frame(0x80, Array(most[..<401]))
            // Refused by its head, before a byte of it has come.
            all["2^62 bytes"] = [0x81, 127, 0x40, 0, 0, 0, 0, 0, 0, 0]
            all["2^64 - 1 bytes"] = [0x81, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]
            return all
        }()

        @Test func whatAServerMustNotSendIsRefused() {
            for (what, bytes) in Self.refused { expectRefusal(what, bytes) }
        }

        private func expectRefusal(_ what: String, _ bytes: [UInt8]) {
            var decoder = FrameDecoder(limit: 1_000)
            decoder.append(Data(bytes))
            #expect(throws: LinkFailure.self, "\(what)") { while try decoder.next() != nil {} }
            // The same byte by byte.
            decoder = FrameDecoder(limit: 1_000)
            #expect(throws: LinkFailure.self, "\(what), in pieces") {
                for byte in bytes {
                    decoder.append(Data([byte]))
                    while try decoder.next() != nil {}
                }
            }
        }

        /// A copy of all so far for each frame would be 3e10 bytes, and no test ends then.
        @Test(.timeLimit(.minutes(1))) func aMessageOfManyTinyFramesCostsItsBytes() throws {
            let count = 256 << 10
            var stream = Data(Self.frame(0x01, [0x61]))
            for _ in 2..<count { stream.append(contentsOf: Self.frame(0x00, [0x61])) }
            stream.append(contentsOf: Self.frame(0x80, [0x61]))
            var decoder = FrameDecoder(limit: 1 << 20)
            var whole: FrameDecoder.Frame?
            var start = stream.startIndex
            while start < stream.endIndex {
                let end = min(start + 16_384, stream.endIndex)
                decoder.append(stream[start..<end])
                while let frame = try decoder.next() { whole = frame }
                start = end
            }
            #expect(whole == .text(Data(repeating: 0x61, count: count)))
        }

        @Test(arguments: [0, 125, 126, 65_535, 65_536])
        func whatIsWrittenIsMaskedAndCanBeReadAgain(_ size: Int) throws {
            let payload = Data((0..<size).map { UInt8($0 & 0xff) })
            var frame = [UInt8](encodeFrame(.text, payload))
            #expect(frame[1] & 0x80 != 0)
            let head = size < 126 ? 2 : size < 65_536 ? 4 : 10
            let mask = Array(frame[head..<(head + 4)])
            var plain = Array(frame[(head + 4)...])
            for i in plain.indices { plain[i] ^= mask[i & 3] }
            frame[1] &= 0x7f
            var decoder = FrameDecoder(limit: 1 << 20)
            decoder.append(Data(frame[..<head] + plain))
            #expect(try decoder.next() == .text(payload))
        }
    }
#endif
