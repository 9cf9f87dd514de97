// The engine's plain enums, and the names that the logs give to their cases.

import EpodeEngine

/// Cases by name. A case that the engine gains, and a name that the logs gain, is an error here until it is added.
struct Names<Value: Hashable & Sendable>: Sendable {
    private let byName: [String: Value]
    private let byValue: [Value: String]

    init(_ pairs: KeyValuePairs<String, Value>) {
        byName = Dictionary(uniqueKeysWithValues: pairs.map { ($0, $1) })
        byValue = Dictionary(uniqueKeysWithValues: pairs.map { ($1, $0) })
    }

    func callAsFunction(_ json: JSON) throws -> Value {
        guard let value = byName[try json.string()] else { throw Unexpected("\(json) is no \(Value.self) known here") }
        return value
    }

    func callAsFunction(_ value: Value) throws -> JSON {
        guard let name = byValue[value] else { throw Unexpected("\(value) has no name here") }
        return .string(name)
    }
}

let authzids = Names<Authzid>(["auto": .auto, "always": .always, "never": .never])
let acknowledgements = Names<Acknowledge>(["automatic": .automatic, "manual": .manual])
let persistences = Names<Persist>(["off": .off, "on_suspend": .onSuspend, "every_turn": .everyTurn])
let fasts = Names<Fast>(["use": .use, "off": .off, "invalidate": .invalidate])
let derivations = Names<KeyDerivation>(["inline": .inline, "host": .host])
let reconnects = Names<ReconnectWhen>(["never": .never, "after_online": .afterOnline, "always": .always])
let tcpTls = Names<TcpTls>(["direct": .direct, "starttls": .startTls])
let slots = Names<Slot>(["session": .session, "token": .token, "pins": .pins])
let networks = Names<Network>(["up": .up, "down": .down, "changed": .changed])
let serverProofs = Names<ServerProof>(["verified": .verified, "none": .none, "absent": .absent])
let profiles = Names<SaslProfile>(["sasl1": .sasl1, "sasl2": .sasl2])
let stages = Names<Stage>(["queued": .queued, "sent": .sent, "acked": .acked, "failed": .failed])
let transportKinds = Names<TransportKind>(["tcp": .tcp, "websocket": .webSocket, "bosh": .bosh])
let channelBindings = Names<ChannelBindingType>([
    "tls-exporter": .tlsExporter, "tls-unique": .tlsUnique, "tls-server-end-point": .tlsServerEndPoint,
])
let scramHashes = Names<ScramHash>(["sha1": .sha1, "sha256": .sha256, "sha384": .sha384, "sha512": .sha512])
let errorTypes = Names<StanzaErrorType>([
    "auth": .auth, "cancel": .cancel, "continue": .continue, "modify": .modify, "wait": .wait,
])
