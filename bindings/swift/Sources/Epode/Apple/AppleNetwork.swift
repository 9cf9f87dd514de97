// The network of Apple's systems.
#if canImport(Network)
    import Foundation

    /// Network.framework for TCP, URLSession for WebSocket and BOSH, dns_sd for SRV records.
    ///
    /// TCP is with direct TLS only so far: see APPLE.md.
    struct PlatformNetwork: Epode.Network {
        func connect(host: String, port: UInt16, security: TCPSecurity, request: LinkRequest) async throws -> any StreamLink {
            // No connection is made: the engine would speak on it before it learned that it cannot be protected.
            guard security == .direct else { throw noStartTLS }
            return try await TCPLink.open(host: host, port: port, request: request)
        }

        func connect(webSocket url: String, request: LinkRequest) async throws -> any StreamLink {
            try await WebSocketLink.open(url, request)
        }

        func connect(bosh url: String, request: LinkRequest) async throws -> any RequestLink {
            try BOSHLink(url, request)
        }

        func services(of name: String) async throws -> [Service] {
            try await serviceRecords(of: name)
        }

        func document(at url: String, limit: Int) async throws -> Data {
            try await fetch(url, limit: limit)
        }
    }
#endif
