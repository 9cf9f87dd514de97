// What can be thrown. The text of each is a sentence for a person.
import Foundation

/// Every error of this package but `CancellationError`.
public enum EpodeError: Error, Sendable, Hashable {
    /// What was given cannot work: a JID, a URL, a certificate file.
    case configuration(String)
    /// The server could not be reached, or the connection broke.
    case connectionFailed(Offline)
    /// TLS, or a certificate.
    case tlsFailed(Offline)
    /// The server refused the login, or it cannot be done with what was given. Trying again will not help.
    case loginFailed(Offline)
    /// The server refused the access token: get another one. ``Offline/token`` is what it says of it.
    case tokenRefused(Offline)
    /// The server lacks something that is needed.
    case serverIncompatible(Offline)
    /// The server broke the protocol.
    case serverMisbehaved(Offline)
    /// The session is over: the server ended it, or the application did.
    case sessionEnded(Offline)
    /// A fault of epode's own: please report it.
    case fault(String)
    /// There is no session to send on: it is over.
    case notOnline
    /// The XML is not a stanza that can be sent like this.
    case invalidStanza(String)
    /// The stanza is larger than a server can be expected to take.
    case stanzaTooLarge(bytes: Int, maximum: Int)
    /// The other side of a request answered it with an error (RFC 6120 §8.3).
    case requestFailed(StanzaError)
    /// No answer to a request in time.
    case requestTimedOut

    /// Why the session is over, where that is the error.
    public var reason: Offline? {
        switch self {
        case .connectionFailed(let reason), .tlsFailed(let reason), .loginFailed(let reason), .tokenRefused(let reason),
            .serverIncompatible(let reason), .serverMisbehaved(let reason), .sessionEnded(let reason):
            reason
        case .configuration, .fault, .notOnline, .invalidStanza, .stanzaTooLarge, .requestFailed, .requestTimedOut:
            nil
        }
    }

    /// The error for an end.
    init(_ reason: Offline) {
        switch reason.blame {
        case .connection: self = .connectionFailed(reason)
        case .tls: self = .tlsFailed(reason)
        case .login: self = reason.code == "token_refused" ? .tokenRefused(reason) : .loginFailed(reason)
        case .incompatible: self = .serverIncompatible(reason)
        case .misbehaved: self = .serverMisbehaved(reason)
        case .stopped, .ended: self = .sessionEnded(reason)
        case .epode: self = .fault(reason.sentence)
        }
    }
}

extension EpodeError: LocalizedError, CustomStringConvertible {
    public var errorDescription: String? { description }

    public var description: String {
        if let reason { return reason.sentence }
        return switch self {
        case .configuration(let sentence), .invalidStanza(let sentence): sentence
        case .fault(let what): "a fault of epode's own, please report it: \(what)"
        case .notOnline: "not online: the session has not begun, or is over"
        case .stanzaTooLarge(let bytes, let maximum): "the stanza has \(bytes) bytes; at most \(maximum) are sent"
        case .requestFailed(let error): "the request was refused: \(error)"
        case .requestTimedOut: "there was no answer to the request in time: whether it was carried out is not known"
        case .connectionFailed, .tlsFailed, .loginFailed, .tokenRefused, .serverIncompatible, .serverMisbehaved, .sessionEnded: "offline"
        }
    }
}

/// An error that answers a request (RFC 6120 §8.3).
public struct StanzaError: Error, Sendable, Hashable {
    /// What can be done about it (RFC 6120 §8.3.2).
    public enum Kind: Sendable, Hashable {
        /// Try again with credentials.
        case auth
        /// Do not try again.
        case cancel
        /// It was only a warning.
        case `continue`
        /// Change what was sent, and try again.
        case modify
        /// Try again later.
        case wait
    }

    public var kind: Kind
    /// As `service-unavailable` (RFC 6120 §8.3.3).
    public var condition: String
    public var text: String?

    public init(_ kind: Kind = .cancel, condition: String = "service-unavailable", text: String? = nil) {
        self.kind = kind
        self.condition = condition
        self.text = text
    }
}

extension StanzaError: CustomStringConvertible {
    public var description: String { text.map { "\(condition) (\(String(reflecting: $0)))" } ?? condition }
}
