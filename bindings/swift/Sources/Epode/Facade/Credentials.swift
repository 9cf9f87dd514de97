// With what a client logs in: one kind, never a guess.
import Foundation

/// With what a client logs in. Nothing of it is in its description, or in what `dump` shows.
public struct Credentials: Sendable {
    enum Kind: Sendable {
        case certificate(ClientIdentity)
        case password(Data)
        case certificateAndPassword(ClientIdentity, Data)
        case accessToken(Data)
        case scramKey(Data)
        case keptToken
        case anonymous
        case newAccount(Data)
        case nothing
    }

    let kind: Kind

    /// A TLS client certificate: SASL EXTERNAL (XEP-0178). No password.
    public static func certificate(_ identity: ClientIdentity) -> Self { Self(kind: .certificate(identity)) }

    /// A password: SCRAM, or what shows more of the password where the policy allows it.
    public static func password(_ password: String) -> Self { Self(kind: .password(Data(password.utf8))) }

    /// Two factors: SCRAM on a connection that presents the certificate; never EXTERNAL.
    public static func certificate(_ identity: ClientIdentity, password: String) -> Self {
        Self(kind: .certificateAndPassword(identity, Data(password.utf8)))
    }

    /// An OAuth 2.0 access token: OAUTHBEARER (RFC 7628), or X-OAUTH2.
    public static func accessToken(_ token: String) -> Self { Self(kind: .accessToken(Data(token.utf8))) }

    /// What ``Client/scramKey`` gave after an earlier login with the password: SCRAM without the slow step, and without the password. Where the
    /// server has another salt or count by now, the login fails with the detail `key_does_not_fit`.
    public static func scramKey(_ key: Data) -> Self { Self(kind: .scramKey(key)) }

    /// The server's login token that ``Options/stateFolder`` keeps (XEP-0484), and nothing else.
    public static var keptToken: Self { Self(kind: .keptToken) }

    /// No account: the server makes one up (XEP-0175). The JID is the server's domain.
    public static var anonymous: Self { Self(kind: .anonymous) }

    /// An account that does not exist yet: it is registered (XEP-0077 §3.1), and then logged in to.
    public static func newAccount(password: String) -> Self { Self(kind: .newAccount(Data(password.utf8))) }

    /// Nothing: the client looks at what the server offers (``Event/offered(_:)``), says goodbye and is offline.
    public static var nothing: Self { Self(kind: .nothing) }

    /// The certificate to present on every connection.
    var identity: ClientIdentity? {
        switch kind {
        case .certificate(let identity), .certificateAndPassword(let identity, _): identity
        case .password, .accessToken, .scramKey, .keptToken, .anonymous, .newAccount, .nothing: nil
        }
    }

    private var name: String {
        switch kind {
        case .certificate: "certificate"
        case .password: "password"
        case .certificateAndPassword: "certificate and password"
        case .accessToken: "access token"
        case .scramKey: "SCRAM key"
        case .keptToken: "kept token"
        case .anonymous: "anonymous"
        case .newAccount: "new account"
        case .nothing: "nothing"
        }
    }
}

extension Credentials: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "Credentials(\(name))" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: ["kind": name]) }
}
