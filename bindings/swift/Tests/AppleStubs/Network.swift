// The declarations of Apple's Network framework that epode uses, so that its sources for Apple's systems can be type-checked elsewhere.
// Nothing here runs. From Apple's documentation of each name.
@_exported import Foundation
@_exported import FoundationNetworking
import Security

public struct IPv4Address { public init?(_ text: String) { return nil } }
public struct IPv6Address { public init?(_ text: String) { return nil } }

public enum NWEndpoint {
    public struct Host: Sendable { public init(_ name: String) {} }
    public struct Port: Sendable { public init?(rawValue: UInt16) { return nil } }
}

public enum NWError: Error, Sendable {
    case posix(POSIXErrorCode)
    case dns(Int32)
    case tls(OSStatus)
    case wifiAware(Int32)
}

open class NWProtocolOptions {}
open class NWProtocolDefinition {}
open class NWProtocolMetadata {}

public enum NWProtocolTCP {
    public final class Options: NWProtocolOptions {
        public override init() {}
        public var noDelay = false
    }
}

public enum NWProtocolTLS {
    public static let definition: NWProtocolDefinition = { fatalError() }()
    public final class Options: NWProtocolOptions {
        public override init() {}
        public var securityProtocolOptions: sec_protocol_options_t { fatalError() }
    }
    public final class Metadata: NWProtocolMetadata {
        public var securityProtocolMetadata: sec_protocol_metadata_t { fatalError() }
    }
}

public final class NWParameters {
    public init(tls: NWProtocolTLS.Options?, tcp: NWProtocolTCP.Options) {}
    public var preferNoProxies = false
}

public final class NWConnection: @unchecked Sendable {
    public enum State: Sendable { case setup, waiting(NWError), preparing, ready, failed(NWError), cancelled }
    public final class ContentContext: @unchecked Sendable {
        public static let defaultMessage = ContentContext()
        public static let finalMessage = ContentContext()
    }
    public enum SendCompletion { case contentProcessed(@Sendable (NWError?) -> Void), idempotent }

    public init(host: NWEndpoint.Host, port: NWEndpoint.Port, using parameters: NWParameters) {}
    public var stateUpdateHandler: (@Sendable (State) -> Void)?
    public func start(queue: DispatchQueue) {}
    public func cancel() {}
    public func metadata(definition: NWProtocolDefinition) -> NWProtocolMetadata? { nil }
    public func receive(
        minimumIncompleteLength: Int, maximumLength: Int,
        completion: @escaping @Sendable (Data?, ContentContext?, Bool, NWError?) -> Void
    ) {}
    public func send(
        content: Data?, contentContext: ContentContext = .defaultMessage, isComplete: Bool = true, completion: SendCompletion
    ) {}
}
