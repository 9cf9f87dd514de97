// The frames of a WebSocket (RFC 6455 §5), as a client writes and reads them.
#if os(Linux)
    import Foundation

    enum FrameKind: UInt8 {
        case text = 0x1
        case close = 0x8
        case ping = 0x9
        case pong = 0xa
    }

    /// One frame, masked with a key of its own (RFC 6455 §5.3).
    func encodeFrame(_ kind: FrameKind, _ payload: Data) -> Data {
        var generator = SystemRandomNumberGenerator()
        let mask = withUnsafeBytes(of: generator.next() as UInt64) { Array($0.prefix(4)) }
        var frame = Data(capacity: payload.count + 14)
        frame.append(0x80 | kind.rawValue)
        switch payload.count {
        case ..<126: frame.append(0x80 | UInt8(payload.count))
        case ..<65_536:
            frame.append(0x80 | 126)
            frame.append(contentsOf: [UInt8(payload.count >> 8), UInt8(payload.count & 0xff)])
        default:
            frame.append(0x80 | 127)
            withUnsafeBytes(of: UInt64(payload.count).bigEndian) { frame.append(contentsOf: $0) }
        }
        frame.append(contentsOf: mask)
        let start = frame.count
        frame.append(payload)
        frame.withUnsafeMutableBytes { bytes in
            for i in start..<bytes.count { bytes[i] ^= mask[(i - start) & 3] }
        }
        return frame
    }

    /// Puts messages together from bytes that are cut anywhere, and never keeps more of one than its limit.
    struct FrameDecoder {
        enum Frame: Equatable {
            /// A whole message, of one frame or of several.
            case text(Data)
            case ping(Data)
            case close
        }

        let limit: Int
        private var bytes: [UInt8] = []
        private var start = 0
        /// A message of which more frames follow.
        private var message: Data?

        init(limit: Int) {
            self.limit = limit
        }

        mutating func append(_ more: Data) {
            if start > 0 {
                bytes.removeSubrange(..<start)
                start = 0
            }
            bytes.append(contentsOf: more)
        }

        /// The next frame that means something, as far as there are bytes for it.
        mutating func next() throws -> Frame? {
            while true {
                let known = bytes.count - start
                guard known >= 2 else { return nil }
                let first = bytes[start]
                let second = bytes[start + 1]
                // RFC 6455 §5.2: no extension was asked for, so no bit of one is set. §5.1: a server does not mask.
                guard first & 0x70 == 0, second & 0x80 == 0 else { throw LinkFailure.other("the server sent a WebSocket frame that was not asked for") }
                let isLast = first & 0x80 != 0
                let opcode = first & 0x0f
                var head = 2
                var length = Int(second & 0x7f)
                if length >= 126 {
                    let size = length == 126 ? 2 : 8
                    head += size
                    guard known >= head else { return nil }
                    let value = bytes[(start + 2)..<(start + head)].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
                    length = Int(clamping: value)
                }
                // RFC 6455 §5.5: those that control are short and whole.
                if opcode >= 0x8 && (!isLast || length > 125) { throw LinkFailure.other("the server sent a WebSocket control frame that is none") }
                guard length <= limit - (message?.count ?? 0) else { throw LinkFailure.http("it is larger than \(limit) bytes") }
                guard known - head >= length else { return nil }
                let payload = Data(bytes[(start + head)..<(start + head + length)])
                start += head + length
                switch opcode {
                case 0x0:
                    guard message != nil else { throw LinkFailure.other("the server went on with a WebSocket message that never began") }
                    // A server that has nothing to add could say so for ever.
                    guard isLast || !payload.isEmpty else { throw LinkFailure.other("the server went on with a WebSocket message and said nothing") }
                    message?.append(payload)
                    if isLast, let whole = message {
                        message = nil
                        return .text(whole)
                    }
                case 0x1:
                    guard message == nil else { throw LinkFailure.other("the server began a WebSocket message within another one") }
                    if isLast { return .text(payload) }
                    message = payload
                case 0x2: throw LinkFailure.other("the server sent a binary WebSocket message, which XMPP has none of")
                case 0x8: return .close
                case 0x9: return .ping(payload)
                case 0xa: continue
                default: throw LinkFailure.other("the server sent a WebSocket frame of an unknown kind")
                }
            }
        }
    }
#endif
