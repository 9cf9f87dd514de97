// A WebSocket (RFC 6455, RFC 7395) on a connection of ours: libcurl has had them for a short time only, and the connection's facts are known here.
#if os(Linux)
    import CEpodeLinux
    import Foundation

    actor WebSocket: StreamLink {
        /// Bytes of the answer to the upgrade.
        private static let longestHead = 16 << 10
        /// How long the answer to a goodbye may take.
        private static let goodbye = Duration.seconds(1)

        private let connection: Connection
        nonisolated var unownedExecutor: UnownedSerialExecutor { connection.unownedExecutor }

        private let limit: Int
        private(set) var facts = LinkFacts()
        private var decoder: FrameDecoder
        /// Bytes of one frame are not mixed with those of another.
        private var isWriting = false
        private let mayWrite = Gate(open: true)
        private var pong: Data?
        private var saidGoodbye = false
        /// A frame is only half written: nothing may follow it.
        private var isCut = false

        static func open(_ url: String, _ request: LinkRequest) async throws -> WebSocket {
            guard let parts = URLComponents(string: url), parts.scheme?.lowercased() == "wss", let host = parts.host, !host.isEmpty else {
                throw LinkFailure.other("\(String(reflecting: url)) is not a URL of wss with a host")
            }
            let port = parts.port.flatMap(UInt16.init(exactly:)) ?? 443
            let bare = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
            let connection = try await Connection.open(host: bare, port: port, alpn: "http/1.1", request: request)
            let socket = WebSocket(connection, request.maximumMessage)
            do {
                try await socket.upgrade(parts)
                return socket
            } catch {
                await connection.drop()
                throw error
            }
        }

        private init(_ connection: Connection, _ limit: Int) {
            self.connection = connection
            self.limit = limit
            decoder = FrameDecoder(limit: limit)
        }

        /// RFC 6455 §4.1. Whether the server selected the subprotocol is for the engine to judge.
        private func upgrade(_ url: URLComponents) async throws {
            var generator = SystemRandomNumberGenerator()
            let key = Data((0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) }).base64EncodedString()
            let path = url.percentEncodedPath.isEmpty ? "/" : url.percentEncodedPath
            let query = url.percentEncodedQuery.map { "?\($0)" } ?? ""
            let host = url.percentEncodedHost ?? ""
            let authority = url.port.map { "\(host):\($0)" } ?? host
            let head =
                "GET \(path)\(query) HTTP/1.1\r\nHost: \(authority)\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: xmpp\r\nSec-WebSocket-Key: \(key)\r\n\r\n"
            try await connection.write([Data(head.utf8)])
            var answer = Data()
            let end = Data("\r\n\r\n".utf8)
            while true {
                guard let more = try await connection.read() else { throw LinkFailure.reset }
                let known = max(0, answer.count - 3)
                answer.append(more)
                if let found = answer.range(of: end, in: known..<answer.count) {
                    decoder.append(answer[found.upperBound...])
                    answer = answer[..<found.lowerBound]
                    break
                }
                guard answer.count <= Self.longestHead else { throw LinkFailure.http("the answer to the upgrade never ends") }
            }
            let subprotocol = try UpgradeAnswer(answer).check(key: key)
            facts = await connection.facts
            facts.subprotocol = subprotocol
        }

        func startTLS(_ serverName: String) async throws -> LinkFacts {
            throw LinkFailure.other("a WebSocket has its TLS before anything else")
        }

        func read() async throws -> Data? {
            while true {
                while let frame = try decoder.next() {
                    switch frame {
                    case .text(let text): return text
                    case .ping(let payload):
                        pong = payload
                        if !isWriting { try await exclusively {} }
                    case .close:
                        if !saidGoodbye {
                            saidGoodbye = true
                            try? await exclusively { try await self.connection.write([encodeFrame(.close, Data())]) }
                        }
                        return nil
                    }
                }
                guard let bytes = try await connection.read() else { return nil }
                decoder.append(bytes)
            }
        }

        func write(_ pieces: [Data]) async throws {
            try await exclusively {
                try await self.connection.write(pieces.map { encodeFrame(.text, $0) })
            }
        }

        /// Writes when nobody else does, and answers afterwards what the server asked meanwhile.
        private func exclusively(_ write: () async throws -> Void) async throws {
            while isWriting {
                mayWrite.close()
                await mayWrite.wait()
                try Task.checkCancellation()
            }
            isWriting = true
            defer {
                isWriting = false
                mayWrite.open()
            }
            guard !isCut else { throw LinkFailure.reset }
            do {
                try await write()
                while let payload = pong {
                    pong = nil
                    try await connection.write([encodeFrame(.pong, payload)])
                }
            } catch {
                isCut = true
                throw error
            }
        }

        func close() async {
            // RFC 6455 §5.5.1. A frame that was cut off lets nothing follow it.
            if !saidGoodbye && !isWriting && !isCut {
                saidGoodbye = true
                try? await within(Self.goodbye) {
                    try await self.connection.write([encodeFrame(.close, Data([0x03, 0xe8]))])
                    while try await self.read() != nil {}
                }
            }
            await connection.close()
        }
    }

    /// The head of the answer to an upgrade, without its end.
    struct UpgradeAnswer {
        private let status: Substring
        private let fields: [(name: String, value: String)]

        init(_ head: Data) throws {
            var lines = String(decoding: head, as: UTF8.self).split(separator: "\r\n", omittingEmptySubsequences: false)
            let parts = lines.removeFirst().split(separator: " ", maxSplits: 2)
            guard parts.count >= 2, parts[0].hasPrefix("HTTP/1.1"), parts[1].count == 3 else {
                throw LinkFailure.http("what the server sent is no HTTP/1.1 answer")
            }
            status = parts[1]
            fields = lines.compactMap { line in
                guard let colon = line.firstIndex(of: ":") else { return nil }
                return (line[..<colon].lowercased(), line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces))
            }
        }

        /// The subprotocol that the server selected (RFC 6455 §4.1).
        func check(key: String) throws -> String? {
            guard status == "101" else { throw LinkFailure.http("its status is \(status), so there is no WebSocket at this URL") }
            guard value("upgrade")?.lowercased() == "websocket",
                value("connection")?.lowercased().split(separator: ",").contains(where: { $0.trimmingCharacters(in: .whitespaces) == "upgrade" })
                    == true,
                value("sec-websocket-accept") == Self.accept(key), value("sec-websocket-extensions") == nil
            else { throw LinkFailure.http("it is not the upgrade to a WebSocket that was asked for") }
            return value("sec-websocket-protocol")
        }

        private func value(_ name: String) -> String? {
            fields.first { $0.name == name }?.value
        }

        /// RFC 6455 §4.2.2.
        static func accept(_ key: String) -> String {
            let text = Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8)
            var digest = [UInt8](repeating: 0, count: 20)
            SHA1(text, text.count, &digest)
            return Data(digest).base64EncodedString()
        }
    }
#endif
