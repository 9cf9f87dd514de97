// Where a client connects and what else it may be told.
import Foundation

/// A way to the server.
public enum Transport: Sendable, Hashable {
    /// TCP (RFC 6120). The certificate is checked for the domain of the account, whatever the host is called. `host` is a name in ASCII or an
    /// address, of IPv6 without brackets.
    case tcp(host: String, port: UInt16 = 5222, security: TCPSecurity = .startTLS)
    /// WebSocket (RFC 7395): a URL of `wss`.
    case webSocket(URL)
    /// BOSH (XEP-0124, XEP-0206): a URL of `https`.
    case bosh(URL)
    /// What DNS (RFC 6120 §3.2, XEP-0368) and the server's host-meta (XEP-0156) say, of these kinds.
    case discover(Set<TransportKind> = [.tcp, .webSocket, .bosh])
}

/// What else a client may be told; each has a default that is good for most.
public struct Options: Sendable {
    /// Who may vouch for the server.
    public var trust: Trust = .system
    /// Which mechanisms may be used.
    public var policy = Policy()
    /// A folder that keeps what the next process may use: the server's login token (XEP-0484) and what is known of the server. It has mode 0700 and
    /// its files 0600. One for each account, used by one process at a time.
    public var stateFolder: URL?
    /// What is done with login tokens.
    public var loginTokens: LoginTokens = .use
    /// What the client says about itself to servers with SASL2.
    public var userAgent = UserAgent()
    /// A part of the resource's name, for servers with Bind 2 (XEP-0386).
    public var bindTag = "epode"
    /// Messages of the account's other devices are copied here (XEP-0280), on servers with Bind 2.
    public var carbons = false
    /// Does what a server wants besides the credentials, a second factor for example, by the name of the task (XEP-0388 §2.6.3): gives the
    /// task's own element as XML, or nothing. What it throws ends the login. It is cancelled when the login that it is for is over.
    public var tasks: [String: @Sendable (LoginTask) async throws -> String?] = [:]
    /// The namespaces of requests that the application answers (``Event/request(_:)``); all others are refused for it.
    public var answers: [String] = []
    /// Sends initial presence after each login, without which servers route no messages to the account.
    public var isAvailable = true
    /// Connects again when the link is gone after a login; without it, that is the end.
    public var reconnects = true
    /// Presents a client certificate that has expired, is not valid yet or is not meant for clients, to see what a server makes of it.
    public var allowsInvalidCertificate = false
    /// What opens the links.
    public var network: any Network = PlatformNetwork()

    /// The defaults.
    public init() {}
}

/// What is done with login tokens (XEP-0484).
public enum LoginTokens: Sendable, Hashable {
    /// Ask for one, and use it.
    case use
    /// Neither.
    case off
    /// Use it a last time: server and client forget it.
    case invalidate
}

/// What the client says about itself (XEP-0388 §2.3): a server lists it to the user, and ties login tokens to it.
public struct UserAgent: Sendable, Hashable {
    /// A UUID of version 4, the same for all the life of an installation. `nil`: the engine draws one, and keeps it with the token.
    public var id: UUID?
    /// The application, for the user.
    public var software: String?
    /// The device, for the user. It is sent to the server.
    public var device: String?

    public init(id: UUID? = nil, software: String? = "epode", device: String? = nil) {
        self.id = id
        self.software = software
        self.device = device
    }
}

/// Which SASL mechanisms may be used, of those that the credentials allow.
///
/// The order of preference is the engine's: EXTERNAL, tokens (HT), SCRAM with channel binding (SHA-512, -384, -256, -1), SCRAM without,
/// OAUTHBEARER, X-OAUTH2, DIGEST-MD5, PLAIN, ANONYMOUS.
public struct Policy: Sendable, Hashable {
    /// How DIGEST-MD5 (RFC 2831, historic) is used.
    public struct DigestMD5: Sendable, Hashable {
        /// The realm, whatever the server offers; `nil`: the one that is called like the domain, or the only one.
        public var realm: String?
        /// Names and passwords are hashed as UTF-8 also where they could be ISO-8859-1.
        public var alwaysUTF8: Bool

        public init(realm: String? = nil, alwaysUTF8: Bool = false) {
            self.realm = realm
            self.alwaysUTF8 = alwaysUTF8
        }
    }

    /// PLAIN, which shows the server the password.
    public var allowsPlain = false
    /// DIGEST-MD5, only if this is set.
    public var digestMD5: DigestMD5?
    /// Only these mechanisms, if set.
    public var only: [String]?
    /// Nothing that stands behind this one in the order of preference, if set.
    public var least: String?
    /// Bind to these only, if set.
    public var channelBindings: [ChannelBinding]?
    /// The fewest and the most iterations that a SCRAM server may ask for.
    public var scramIterations: ClosedRange<UInt32> = 4_096...2_000_000
    /// Use SASL2 (XEP-0388) where the server has it.
    public var sasl2 = true
    /// Refuse less than the strongest class of mechanism that the server has offered to this account before.
    public var pins = true
    /// Channel binding that was there before has to be there again.
    public var pinsChannelBinding = false
    /// Take a login by token where the server does not prove that it knows the token. A wrong proof is never taken.
    public var allowsMissingTokenProof = false
    /// Give the server the means for a stronger SCRAM where it asks for them (XEP-0480), after it has proved itself.
    public var upgrades = false

    /// The defaults.
    public init() {}
}
