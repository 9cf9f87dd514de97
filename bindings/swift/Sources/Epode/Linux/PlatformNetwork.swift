// The network of Linux: libcurl, OpenSSL, and the resolver of the C library.
#if os(Linux)
    import CEpodeLinux
    import Foundation

    /// What opens the links on Linux: OpenSSL on sockets for TCP and WebSocket, libcurl for BOSH and documents, the C library for DNS.
    ///
    /// Not URLSession: the one that comes with Swift on Linux takes neither a client certificate nor authorities of one's own.
    public struct PlatformNetwork: Network {
        public init() {}

        public func connect(host: String, port: UInt16, security: TCPSecurity, request: LinkRequest) async throws -> any StreamLink {
            try await Connection.open(host: host, port: port, alpn: security == .direct ? xmppOverTLS : nil, request: request)
        }

        public func connect(webSocket url: String, request: LinkRequest) async throws -> any StreamLink {
            try await WebSocket.open(url, request)
        }

        public func connect(bosh url: String, request: LinkRequest) async throws -> any RequestLink {
            try await HTTPClient.open(url, request)
        }

        public func document(at url: String, limit: Int) async throws -> Data {
            try await HTTPClient.get(url, limit: limit)
        }

        public func services(of name: String) async throws -> [Service] {
            // The resolver waits, for seconds at most, on a thread of its own; whoever gives up does not wait with it.
            let answered = Gate(open: false)
            let answer = Answered()
            DispatchQueue.global().async {
                answer.set(lookUp(name))
                answered.open()
            }
            await answered.wait()
            guard let services = answer.get() else { throw CancellationError() }
            return try services.get()
        }
    }

    private final class Answered: @unchecked Sendable {
        private let lock = NSLock()
        private var services: Result<[Service], LinkFailure>?

        func set(_ services: Result<[Service], LinkFailure>) { lock.withLock { self.services = services } }
        func get() -> Result<[Service], LinkFailure>? { lock.withLock { services } }
    }

    /// More than any service has.
    private let mostServices = 64

    private func lookUp(_ name: String) -> Result<[Service], LinkFailure> {
        var records = [epode_service](repeating: epode_service(), count: mostServices)
        let count = epode_services(name, &records, Int32(mostServices))
        return count < 0 ? .failure(.unknownHost) : .success(records.prefix(Int(count)).map(Service.init))
    }

    extension Service {
        init(_ record: epode_service) {
            let target = withUnsafeBytes(of: record.target) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            self.init(priority: record.priority, weight: record.weight, port: record.port, target: target)
        }
    }
#endif
