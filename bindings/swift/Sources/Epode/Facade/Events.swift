// What happens, as an enum to switch over. All text in it comes from others, and is not to be trusted.
import Foundation

/// What happens to a client: ``online(_:)`` is the first, ``offline(_:)`` the last.
public enum Event: Sendable {
    /// Logged in, and a resource is bound: once, and again after each ``interrupted(_:)``.
    case online(Online)
    /// The link is gone, and the client connects again by itself.
    case interrupted(Interrupted)
    /// A message (RFC 6121 §5).
    case message(Message)
    /// A presence (RFC 6121 §4).
    case presence(Presence)
    /// An `iq` request in one of ``Options/answers``. Respond to it, or refuse it.
    case request(Request)
    /// How far a stanza of the application's has come.
    case delivery(Delivery)
    /// Something that does not stop the client, but that a person should know.
    case notice(Notice)
    /// What the server offers before the login, where the client only looks (``Credentials/nothing``).
    case offered(Offered)
    /// The end. It comes once, and nothing follows it.
    case offline(Offline)
}

/// A login that is complete.
public struct Online: Sendable, Hashable {
    /// The full JID that the server bound.
    public let jid: String
    /// The SASL mechanism, as `EXTERNAL`.
    public let mechanism: String
    /// Whether the server proved that it knows the password, or the token, too.
    public let serverProof: ServerProof
    /// What the login is bound to, if it is.
    public let channelBinding: ChannelBinding?
    /// By which protocol the login was done; `nil` where nobody logged in.
    public let profile: Profile?
    /// An earlier session goes on; nothing was lost.
    public let isResumed: Bool
    /// Whether the server asked for a client certificate, where the platform can tell.
    public let clientCertificateRequested: Bool?
    /// How many times the client had to wait for the server since it was connected.
    public let roundTrips: Int
    /// How it travels.
    public let transport: TransportKind
}

/// The link is gone, and the client connects again by itself.
public struct Interrupted: Sendable, Hashable {
    /// Why, in the words of an end.
    public let reason: Offline
    /// In how long the next attempt is made; `nil`: when there is a network again.
    public let retryIn: Duration?
    /// The session can probably be resumed: nothing is lost so far.
    public let isResumable: Bool
}

/// What messages, presences, requests and answers have in common.
public protocol Stanza: Sendable, Hashable {
    /// The attribute `from`, for which the server vouches.
    var from: String? { get }
    /// The attribute `to`.
    var to: String? { get }
    /// The attribute `type`.
    var type: String? { get }
    /// The attribute `id`.
    var id: String? { get }
    /// The whole stanza, as a document of its own in UTF-8: for `XMLParser`, or a parser of yours. The engine has bounded its size and depth.
    var xml: Data { get }
}

/// A message (RFC 6121 §5).
public struct Message: Stanza {
    public let from: String?
    public let to: String?
    public let type: String?
    public let id: String?
    public let xml: Data
    /// The text; many messages have none.
    public let body: String?
}

/// A presence (RFC 6121 §4).
public struct Presence: Stanza {
    public let from: String?
    public let to: String?
    public let type: String?
    public let id: String?
    public let xml: Data
}

/// A request of somebody else's (RFC 6120 §8.2.3).
public struct Request: Stanza {
    public let from: String?
    public let to: String?
    public let type: String?
    public let id: String?
    public let xml: Data
    let token: UInt64
}

/// The answer to a request of the application's: the `iq` of type `result`.
public struct Answer: Stanza {
    public let from: String?
    public let to: String?
    public let type: String?
    public let id: String?
    public let xml: Data
}

/// Names a stanza that was sent, in ``Delivery`` events.
public struct SentStanza: Sendable, Hashable {
    let token: UInt64
}

/// How far a stanza has come. Of several that nobody has read yet only the last is given.
public struct Delivery: Sendable, Hashable {
    /// ``acked`` and ``failed`` are final, and one of them always comes.
    public enum Stage: Sendable, Hashable {
        /// It waits for a session.
        case queued
        /// It has left this process.
        case sent
        /// The server has it.
        case acked
        /// It was not sent, or nobody knows whether the server has it.
        case failed
    }

    /// What ``Client/send(_:)-(String)`` gave for it.
    public let stanza: SentStanza
    public let stage: Stage
}

/// Something that does not stop the client, but that a person should know.
public struct Notice: Sendable, Hashable {
    /// Its name, for programs.
    public let code: String
    /// For a person.
    public let sentence: String
}

/// What the server offers before the login.
public struct Offered: Sendable, Hashable {
    /// `<stream:features/>`, as a document of its own in UTF-8.
    public let features: Data
    public let transport: TransportKind
    /// TLS protects the connection.
    public let isEncrypted: Bool
}

/// The end, or why a link is gone.
public struct Offline: Sendable, Hashable {
    /// Who is to blame.
    public enum Blame: Sendable, Hashable {
        /// Nobody: the application stopped it.
        case stopped
        /// The server could not be reached, or the connection broke.
        case connection
        /// TLS, or a certificate.
        case tls
        /// The server refused the login, or it cannot be done with what was given. Trying again will not help.
        case login
        /// The server lacks something that is needed.
        case incompatible
        /// The server broke the protocol.
        case misbehaved
        /// The server ended the session and said why.
        case ended
        /// A fault of epode's own.
        case epode
    }

    public let blame: Blame
    /// What it was, for programs: `stopped`, `refused`, `no_mechanism`, `timeout`...
    public let code: String
    /// For a person.
    public let sentence: String
    /// What was the matter within ``code``, where that has several reasons.
    public let detail: String?
    /// The condition that the server gave, as `not-authorized`.
    public let condition: String?
    /// The server's own text.
    public let text: String?
    /// For the code `token_refused`: what the server says of the access token.
    public let token: TokenRefusal?
}

/// What the server says of an access token that it refused (RFC 7628 §3.2.2).
public struct TokenRefusal: Sendable, Hashable {
    /// As `invalid_token`.
    public let status: String?
    /// The scope that a token has to have.
    public let scope: String?
    /// Where the server says that its OpenID configuration is. Do not ask a place that you do not know.
    public let openIDConfiguration: String?
}

/// What the server wants besides the credentials (XEP-0388 §2.6.3): for the handler in ``Options/tasks``.
public struct LoginTask: Sendable {
    /// Its name.
    public let name: String
    /// What the server says within the task, as a document of its own in UTF-8; `nil` where it is to begin.
    public let payload: Data?
    /// The server's text for the user.
    public let text: String?
}

/// How a session travels.
public enum TransportKind: Sendable, Hashable {
    case tcp, webSocket, bosh
}

/// Whether the server proved that it knows the password too.
public enum ServerProof: Sendable, Hashable {
    /// It did.
    case verified
    /// The mechanism has no such proof: TLS alone vouches for the server.
    case none
    /// The server left it out, and the policy allows that.
    case absent
}

/// What a login can be bound to.
public enum ChannelBinding: Sendable, Hashable, CaseIterable {
    /// `tls-exporter` (RFC 9266).
    case exporter
    /// `tls-unique` (RFC 5929 §3).
    case unique
    /// `tls-server-end-point` (RFC 5929 §4).
    case serverEndPoint
}

/// The protocol of a login.
public enum Profile: Sendable, Hashable {
    /// RFC 6120 §6.
    case sasl1
    /// XEP-0388.
    case sasl2
}

extension Offline: CustomStringConvertible {
    public var description: String { sentence }
}

extension Interrupted: CustomStringConvertible {
    public var description: String { reason.sentence }
}

extension Notice: CustomStringConvertible {
    public var description: String { sentence }
}
