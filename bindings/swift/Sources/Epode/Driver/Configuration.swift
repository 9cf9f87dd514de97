// From what an application gives to the engine's configuration.
import Foundation
internal import EpodeEngine

/// The engine's configuration for an account.
func configuration(jid: String, transports: [Transport], credentials: Credentials, options: Options) throws -> Config {
    let waysIn = transports.isEmpty ? [.discover()] : transports
    let policy = options.policy
    let mechanisms = Mechanisms(
        allowPlain: policy.allowsPlain,
        digestMd5: policy.digestMD5.map { EpodeEngine.DigestMd5(realm: $0.realm, alwaysUtf8: $0.alwaysUTF8) },
        only: policy.only,
        least: policy.least,
        channelBindings: policy.channelBindings?.map(\.native),
        scramMin: policy.scramIterations.lowerBound,
        scramMax: policy.scramIterations.upperBound,
        sasl2: policy.sasl2,
        pin: policy.pins,
        pinChannelBinding: policy.pinsChannelBinding,
        allowMissingHtServerProof: policy.allowsMissingTokenProof,
        upgrade: policy.upgrades)
    return Config(
        jid: jid,
        credentials: try credentials.native(label: firstIdentity, allowInvalid: options.allowsInvalidCertificate),
        transports: waysIn.map(\.native),
        mechanisms: mechanisms,
        reconnect: Reconnect(when: options.reconnects ? .afterOnline : .never),
        // What the engine learns of a server and its tokens is handed out whatever this says; sessions end with a goodbye.
        persist: options.stateFolder == nil ? nil : .onSuspend,
        userAgent: EpodeEngine.UserAgent(
            id: options.userAgent.id?.uuidString.lowercased(), software: options.userAgent.software, device: options.userAgent.device),
        fast: options.loginTokens.native,
        bind: Bind(tag: options.bindTag, carbons: options.carbons),
        // The actor goes on meanwhile.
        keyDerivation: .host,
        tasks: options.tasks.keys.sorted(),
        answers: options.answers)
}

extension Credentials {
    func native(label: String, allowInvalid: Bool) throws -> EpodeEngine.Credentials {
        if !allowInvalid { try identity?.check() }
        switch kind {
        case .certificate(let identity): return .certificate(identity: label, der: identity.certificate)
        case .password(let password): return .password(password: password)
        case .certificateAndPassword(_, let password): return .certificateAndPassword(identity: label, password: password)
        case .accessToken(let token): return .accessToken(token: token)
        case .scramKey(let key):
            do {
                return .scramKey(key: try DerivedKey.fromBytes(bytes: key))
            } catch let refused as Refused {
                throw EpodeError(refused)
            }
        case .keptToken: return .keptToken
        case .anonymous: return .anonymous
        case .newAccount(let password): return .newAccount(password: password)
        case .nothing: return .nothing
        }
    }
}

extension Transport {
    var native: EpodeEngine.Transport {
        switch self {
        case .tcp(let host, let port, let security): .tcp(host: host, port: port, tls: security == .direct ? .direct : .startTls)
        case .webSocket(let url): .webSocket(url: url.absoluteString)
        case .bosh(let url): .bosh(bosh: Bosh(url: url.absoluteString))
        case .discover(let kinds):
            .discover(tcp: kinds.contains(.tcp), websocket: kinds.contains(.webSocket), bosh: kinds.contains(.bosh))
        }
    }
}

extension LoginTokens {
    var native: Fast {
        switch self {
        case .use: .use
        case .off: .off
        case .invalidate: .invalidate
        }
    }
}
