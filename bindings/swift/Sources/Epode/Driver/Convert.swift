// From the generated types to the façade's, and back.
import Foundation
internal import EpodeEngine

/// The client certificate that a client begins with, as the engine knows it.
let firstIdentity = "certificate"

extension Event {
    /// `nil` for those that the driver itself deals with.
    init?(_ event: EpodeEngine.Event, now: UInt64) {
        switch event {
        case .online(let jid, let mechanism, let proof, let binding, let profile, let resumed, let requested, let roundTrips, let transport):
            self = .online(
                Online(
                    jid: jid, mechanism: mechanism, serverProof: ServerProof(proof), channelBinding: binding.map(ChannelBinding.init),
                    profile: profile.map(Profile.init), isResumed: resumed, clientCertificateRequested: requested,
                    roundTrips: Int(roundTrips), transport: TransportKind(transport)))
        case .interrupted(let reason, let retryAt, let resumable):
            let retryIn = retryAt.map { Duration.milliseconds($0 > now ? Int64(clamping: $0 - now) : 0) }
            self = .interrupted(Interrupted(reason: Offline(reason), retryIn: retryIn, isResumable: resumable))
        case .offered(let features, let transport, let encrypted):
            self = .offered(Offered(features: features, transport: TransportKind(transport), isEncrypted: encrypted))
        case .offline(let reason):
            self = .offline(Offline(reason))
        case .stanza(let stanza, _):
            if stanza.kind == .presence {
                self = .presence(Presence(from: stanza.from, to: stanza.to, type: stanza.type, id: stanza.id, xml: stanza.xml))
            } else {
                self = .message(
                    Message(from: stanza.from, to: stanza.to, type: stanza.type, id: stanza.id, xml: stanza.xml, body: stanza.body))
            }
        case .request(let token, let iq):
            self = .request(Request(from: iq.from, to: iq.to, type: iq.type, id: iq.id, xml: iq.xml, token: token))
        case .delivery(let token, let stage):
            self = .delivery(Delivery(stanza: SentStanza(token: token), stage: Delivery.Stage(stage)))
        case .warning(let code, let sentence):
            self = .notice(Notice(code: code, sentence: sentence))
        case .task, .iqDone, .writable:
            return nil
        }
    }

    /// Others can send as many of these as they like.
    var isFromOthers: Bool {
        switch self {
        case .message, .presence, .request: true
        case .online, .interrupted, .delivery, .notice, .offered, .offline: false
        }
    }
}

extension Answer {
    init(_ iq: EpodeEngine.Stanza) {
        self.init(from: iq.from, to: iq.to, type: iq.type, id: iq.id, xml: iq.xml)
    }
}

extension Offline {
    init(_ reason: OfflineReason) {
        self.init(
            blame: Blame(reason.blame), code: reason.code, sentence: reason.sentence, detail: reason.detail, condition: reason.condition,
            text: reason.text,
            token: reason.token.map { TokenRefusal(status: $0.status, scope: $0.scope, openIDConfiguration: $0.openidConfiguration) })
    }

    /// One of the driver's own.
    init(_ blame: Blame, code: String, sentence: String) {
        self.init(blame: blame, code: code, sentence: sentence, detail: nil, condition: nil, text: nil, token: nil)
    }
}

extension Offline.Blame {
    init(_ blame: EpodeEngine.Blame) {
        self =
            switch blame {
            case .stopped: .stopped
            case .connection: .connection
            case .tls: .tls
            case .login: .login
            case .incompatible: .incompatible
            case .misbehaved: .misbehaved
            case .ended: .ended
            case .internal: .epode
            }
    }
}

extension Delivery.Stage {
    init(_ stage: EpodeEngine.Stage) {
        self =
            switch stage {
            case .queued: .queued
            case .sent: .sent
            case .acked: .acked
            case .failed: .failed
            }
    }
}

extension TransportKind {
    init(_ kind: EpodeEngine.TransportKind) {
        self =
            switch kind {
            case .tcp: .tcp
            case .webSocket: .webSocket
            case .bosh: .bosh
            }
    }
}

extension ServerProof {
    init(_ proof: EpodeEngine.ServerProof) {
        self =
            switch proof {
            case .verified: .verified
            case .none: .none
            case .absent: .absent
            }
    }
}

extension ChannelBinding {
    init(_ type: ChannelBindingType) {
        self =
            switch type {
            case .tlsExporter: .exporter
            case .tlsUnique: .unique
            case .tlsServerEndPoint: .serverEndPoint
            }
    }

    var native: ChannelBindingType {
        switch self {
        case .exporter: .tlsExporter
        case .unique: .tlsUnique
        case .serverEndPoint: .tlsServerEndPoint
        }
    }
}

extension Profile {
    init(_ profile: SaslProfile) {
        self =
            switch profile {
            case .sasl1: .sasl1
            case .sasl2: .sasl2
            }
    }
}

extension StanzaError {
    init(_ error: EpodeEngine.StanzaError) {
        let kind: Kind =
            switch error.kind {
            case .auth: .auth
            case .cancel: .cancel
            case .continue: .continue
            case .modify: .modify
            case .wait: .wait
            }
        self.init(kind, condition: error.condition, text: error.text)
    }

    var native: EpodeEngine.StanzaError {
        let kind: StanzaErrorType =
            switch self.kind {
            case .auth: .auth
            case .cancel: .cancel
            case .continue: .continue
            case .modify: .modify
            case .wait: .wait
            }
        return EpodeEngine.StanzaError(kind: kind, condition: condition, text: text)
    }
}

extension EpodeError {
    /// For a call that was refused, but for `Full`, which the driver waits out.
    init(_ refused: Refused) {
        self =
            switch refused {
            case .NotStarted: .notOnline
            case .TooLarge(let bytes, let maximum): .stanzaTooLarge(bytes: Int(clamping: bytes), maximum: Int(clamping: maximum))
            case .Invalid(let why): .invalidStanza(why)
            case .Xml(let why): .invalidStanza("this is not one XML element: \(why)")
            case .Jid(let why): .configuration("this is no JID: \(why)")
            case .Configuration(let why), .Key(let why): .configuration(why)
            case .Misuse(let why): .fault(why)
            case .Snapshot(_, let why): .fault(why)
            case .Full: .fault("a full queue was not waited for")
            case .Closed: .notOnline
            }
    }
}

extension LinkFacts {
    var native: LinkInfo {
        LinkInfo(
            encrypted: isEncrypted, verified: verifiedName.map { .host(name: $0) } ?? .no, tlsVersion: tlsVersion,
            clientCertificateRequested: clientCertificateRequested, clientCertificate: clientCertificate, alpn: applicationProtocol,
            subprotocol: subprotocol,
            channelBindings: EpodeEngine.ChannelBindings(
                tlsExporter: channelBindings.exporter, tlsUnique: channelBindings.unique, tlsServerEndPoint: channelBindings.serverEndPoint))
    }
}

extension RequestAnswer {
    var facts: TlsFacts {
        TlsFacts(version: tlsVersion, serverCertificateSha256: serverCertificateSHA256, clientCertificateRequested: clientCertificateRequested)
    }
}

/// What an error of a network means to the engine.
func failure(_ error: any Error) -> Failure {
    switch error as? LinkFailure {
    case .unknownHost: .dns
    case .refused: .refused
    case .timeout: .timeout
    case .reset: .reset
    case .tlsAlert(let alert): .tlsAlert(alert: alert)
    case .certificateRejected(let reason): .certificateRejected(reason: reason)
    case .http(let reason): .http(reason: reason)
    case .other(let reason): .other(reason: reason)
    case nil: .other(reason: error is CancellationError ? "it was given up" : error.localizedDescription)
    }
}
