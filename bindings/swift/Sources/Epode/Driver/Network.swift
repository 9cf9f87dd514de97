// What the driver asks of a platform: links, and answers of DNS and web servers. A host may bring its own.
import Foundation

/// Opens links for a client. Each platform has its own; an application that has other means conforms to this and says so in
/// ``Options/network``.
///
/// Every method may be called from any task, and honours cancellation: it gives up soon, leaves nothing open, and throws
/// (`CancellationError`, or anything else, which nobody looks at then). What goes wrong otherwise is a ``LinkFailure``; any other
/// error is told as ``LinkFailure/other(_:)``.
///
/// No method takes anything from the environment: no proxy, no certificate. TLS is 1.2 or later and is not resumed, and the server's
/// certificate is valid for ``LinkRequest/serverName``, or there is no link.
public protocol Network: Sendable {
    /// A TCP connection to any address of the host. With ``TCPSecurity/direct``, TLS is up when this returns (ALPN `xmpp-client`); with
    /// ``TCPSecurity/startTLS`` it begins when ``StreamLink/startTLS(_:)`` is called.
    func connect(host: String, port: UInt16, security: TCPSecurity, request: LinkRequest) async throws -> any StreamLink

    /// A WebSocket with the subprotocol `xmpp` (RFC 7395 §3.1). The engine judges which subprotocol the server took.
    func connect(webSocket url: String, request: LinkRequest) async throws -> any StreamLink

    /// An HTTP client for one BOSH session (XEP-0124). All its connections present the same identity and see the same server certificate.
    func connect(bosh url: String, request: LinkRequest) async throws -> any RequestLink

    /// The SRV records of a name such as `_xmpp-client._tcp.example.org` (RFC 2782); none if there are none or the name does not exist.
    func services(of name: String) async throws -> [Service]

    /// A document by GET over verified https, without a client certificate and without following redirects. A status other than 200, and more
    /// than `limit` bytes, are failures.
    func document(at url: String, limit: Int) async throws -> Data
}

/// A connection that carries bytes (TCP) or whole text messages (WebSocket), both ways.
///
/// One task reads and one writes at a time. Nothing is read from the peer but while ``read()`` waits: that is the back-pressure.
public protocol StreamLink: Sendable {
    /// What is known of it now.
    var facts: LinkFacts { get async }

    /// Bytes as they come, at most 64 KiB; of a WebSocket one whole message in UTF-8. `nil`: the peer has closed. When this task is cancelled,
    /// nothing that arrived is lost: the next call gives it.
    func read() async throws -> Data?

    /// Sends the pieces in order, of a WebSocket each as one text message, and returns when they have left the buffers of this process.
    func write(_ pieces: [Data]) async throws

    /// TCP only, once, while nobody reads or writes: shakes hands with whoever has to be `serverName`, and gives what is known now.
    func startTLS(_ serverName: String) async throws -> LinkFacts

    /// Says the goodbye of the protocol below XMPP and closes; takes at most about two seconds. Nothing is called after it.
    func close() async
}

/// An HTTP client of one BOSH session.
public protocol RequestLink: Sendable {
    /// What holds for each of its requests.
    var facts: LinkFacts { get async }

    /// Posts `body` as `text/xml; charset=utf-8`, on a connection of its own or one that is idle. Not retried, no redirect followed,
    /// nothing compressed. Several may be under way. Cancelling the task gives the request up.
    func post(_ body: Data) async throws -> RequestAnswer

    /// Closes what is idle. Nothing is called after it.
    func close() async
}

/// When TLS begins on a TCP connection.
public enum TCPSecurity: Sendable, Hashable {
    /// At once (XEP-0368).
    case direct
    /// When the server was asked for it (RFC 6120 §5).
    case startTLS
}

/// With what a link is opened.
public struct LinkRequest: Sendable {
    /// The name, or the address, that the server's certificate must be valid for; an address of IPv6 without brackets.
    public var serverName: String
    /// The client certificate to present wherever one is asked for; none otherwise.
    public var identity: ClientIdentity?
    /// Who may vouch for the server.
    public var trust: Trust
    /// Never more than so many bytes of one answer or message are kept: it fails instead.
    public var maximumMessage: Int

    /// A request; for tests of a network.
    public init(serverName: String, identity: ClientIdentity? = nil, trust: Trust = .system, maximumMessage: Int = 1 << 20) {
        self.serverName = serverName
        self.identity = identity
        self.trust = trust
        self.maximumMessage = maximumMessage
    }
}

/// Who may vouch for a server.
public enum Trust: Sendable, Hashable {
    /// The authorities of the system.
    case system
    /// These authorities and no other: certificates in PEM.
    case authorities(Data)
}

/// What is known of a link. What is not known is `nil`.
public struct LinkFacts: Sendable {
    /// TLS protects it.
    public var isEncrypted: Bool
    /// The name that the server's certificate was found valid for.
    public var verifiedName: String?
    /// The TLS version, as `1.2` or `1.3`.
    public var tlsVersion: String?
    /// Whether the server asked for a client certificate.
    public var clientCertificateRequested: Bool?
    /// The client certificate that is presented, in DER.
    public var clientCertificate: Data?
    /// What TLS settled on (ALPN).
    public var applicationProtocol: String?
    /// What the server of a WebSocket selected.
    public var subprotocol: String?
    /// What a login can be bound to. On BOSH only ``ChannelBindings/serverEndPoint`` counts.
    public var channelBindings: ChannelBindings

    /// A link of which nothing else is known.
    public init(isEncrypted: Bool = false, verifiedName: String? = nil) {
        self.isEncrypted = isEncrypted
        self.verifiedName = verifiedName
        channelBindings = ChannelBindings()
    }
}

/// Values that both ends of one TLS connection know.
public struct ChannelBindings: Sendable {
    /// `tls-exporter` (RFC 9266): 32 bytes. With TLS 1.2 only where the extended master secret was negotiated.
    public var exporter: Data?
    /// `tls-unique` (RFC 5929 §3): only below TLS 1.3.
    public var unique: Data?
    /// `tls-server-end-point` (RFC 5929 §4): a hash of the server's certificate.
    public var serverEndPoint: Data?

    /// None of them; set what there is.
    public init() {}
}

extension ChannelBindings: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private var names: [String] {
        [("tls-exporter", exporter), ("tls-unique", unique), ("tls-server-end-point", serverEndPoint)].compactMap { $1 == nil ? nil : $0 }
    }
    public var description: String { "ChannelBindings(\(names.joined(separator: ", ")))" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: ["names": names]) }
}

/// One HTTP answer, whole.
public struct RequestAnswer: Sendable {
    /// The HTTP status.
    public var status: UInt16
    /// The body, after transfer coding.
    public var body: Data
    /// The TLS version of the connection that carried it, as `1.3`.
    public var tlsVersion: String?
    /// SHA-256 of the server's certificate (DER).
    public var serverCertificateSHA256: Data?
    /// Whether the server asked for a client certificate on that connection.
    public var clientCertificateRequested: Bool?

    /// An answer of whose connection nothing is known; set what is.
    public init(status: UInt16, body: Data) {
        self.status = status
        self.body = body
    }
}

/// An SRV record (RFC 2782).
public struct Service: Sendable, Hashable {
    public var priority: UInt16
    public var weight: UInt16
    public var port: UInt16
    /// The host; `.` says that the service is not there.
    public var target: String

    public init(priority: UInt16, weight: UInt16, port: UInt16, target: String) {
        self.priority = priority
        self.weight = weight
        self.port = port
        self.target = target
    }
}

/// Why a link, or one request on it, failed. The texts are for a person, and go behind a colon.
public enum LinkFailure: Error, Sendable, Hashable {
    /// The host name could not be resolved.
    case unknownHost
    /// Nobody listens there.
    case refused
    /// No answer in time.
    case timeout
    /// The connection was reset, or ended in the middle of an answer.
    case reset
    /// The server refused the handshake with this alert (RFC 8446 §6).
    case tlsAlert(UInt8)
    /// The server's certificate was not accepted.
    case certificateRejected(String)
    /// The answer was no HTTP, or larger than allowed.
    case http(String)
    /// Anything else.
    case other(String)
}
