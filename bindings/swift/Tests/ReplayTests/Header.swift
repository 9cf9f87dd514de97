// The first line of a log: the configuration and the seed of a client.

import EpodeEngine
import Foundation

/// The client that a log is of. A log has no password: `password` is put in its place.
func client(of header: JSON, password: String) throws -> Client {
    try header.reading { header in
        guard try header.number("epode") == 1 else { throw Unexpected("this test reads logs of version 1") }
        let seed = try hexadecimal(header.string("seed_is_secret"))
        return try Client(config: config(header.take("config"), password: password), seed: seed)
    }
}

func hexadecimal(_ text: String) throws -> Data {
    var data = Data()
    var rest = text[...]
    while !rest.isEmpty {
        guard let byte = UInt8(rest.prefix(2), radix: 16), rest.count >= 2 else {
            throw Unexpected("these are not bytes in hexadecimal digits")
        }
        data.append(byte)
        rest = rest.dropFirst(2)
    }
    return data
}

private func config(_ json: JSON, password: String) throws -> Config {
    try json.reading { fields in
        try Config(
            jid: fields.string("jid"),
            credentials: credentials(fields.take("credentials"), password: Data(password.utf8)),
            transports: fields.take("transports").array().map(transport),
            authzid: fields.ifThere("authzid") { try authzids($0) },
            allowPlaintext: fields.ifThere("tls", allowsPlaintext) ?? false,
            mechanisms: fields.ifThere("mechanisms", mechanisms),
            limits: fields.ifThere("limits", limits),
            timeouts: fields.ifThere("timeouts", timeouts),
            reconnect: fields.ifThere("reconnect", reconnect),
            streamManagement: fields.ifThere("stream_management", streamManagement),
            liveness: fields.ifThere("liveness", liveness),
            persist: fields.ifThere("persist") { try persistences($0) },
            acknowledge: fields.ifThere("acknowledge") { try acknowledgements($0) },
            userAgent: fields.ifThere("user_agent", userAgent),
            fast: fields.ifThere("fast") { try fasts($0) },
            bind: fields.ifThere("bind", bind),
            keyDerivation: fields.ifThere("key_derivation") { try derivations($0) },
            tasks: fields.strings("tasks"),
            language: fields.string("language"),
            answers: fields.strings("answered_namespaces")
        )
    }
}

/// Credentials, of a header or of an input. Where a log left the secret out, `password` is put back.
func credentials(_ json: JSON, password: Data) throws -> Credentials {
    let (kind, value) = try json.variant()
    func secret(_ fields: inout Fields, _ name: String) throws -> Data {
        let text = try fields.string(name)
        return text == "secret" ? password : Data(text.utf8)
    }
    switch kind {
    case "certificate":
        return try value.reading { try .certificate(identity: $0.string("identity"), der: $0.ifThere("der", bytes)) }
    case "password":
        return try value.reading { try .password(password: secret(&$0, "password")) }
    case "certificate_and_password":
        return try value.reading {
            try .certificateAndPassword(identity: $0.string("identity"), password: secret(&$0, "password"))
        }
    case "scram_key": return try value.reading { try .scramKey(key: derivedKey($0.take("key"))) }
    case "access_token": return try value.reading { try .accessToken(token: secret(&$0, "token")) }
    case "new_account": return try value.reading { try .newAccount(password: secret(&$0, "password")) }
    case "kept_token": return .keptToken
    case "anonymous": return .anonymous
    case "nothing": return .nothing
    default: throw Unexpected("the credentials \(kind) are not known here")
    }
}

/// A key of SCRAM: `bytes` is the whole of it, in the logs that leave nothing out.
func derivedKey(_ json: JSON) throws -> DerivedKey {
    try json.reading { fields in
        guard let whole = try fields.ifThere("bytes", bytes) else { throw Unexpected("the key is not in the log") }
        let key = try DerivedKey.fromBytes(bytes: whole)
        guard try scramHashes(fields.take("hash")) == key.hash() else { throw Unexpected("the key is of \(key.hash()): \(json)") }
        // The same again, with the two keys left out.
        for name in ["salt", "iterations", "client_key", "server_key"] { _ = try fields.take(name) }
        return key
    }
}

private func transport(_ json: JSON) throws -> Transport {
    let (kind, value) = try json.variant()
    return try value.reading { fields in
        switch kind {
        case "discover":
            try .discover(
                tcp: fields.bool("tcp"), websocket: fields.bool("websocket"), bosh: fields.bool("bosh"))
        case "tcp":
            try .tcp(host: fields.string("host"), port: fields.number("port"), tls: tcpTls(fields.take("tls")))
        case "websocket": try .webSocket(url: fields.string("url"))
        case "bosh": try .bosh(bosh: bosh(&fields))
        default: throw Unexpected("the transport \(kind) is not known here")
        }
    }
}

private func bosh(_ fields: inout Fields) throws -> Bosh {
    try Bosh(
        url: fields.string("url"),
        wait: fields.number("wait"),
        hold: fields.number("hold"),
        ack: fields.bool("ack"),
        firstRid: fields.ifNumber("first_rid"),
        maxRequests: fields.number("max_requests"),
        keySequence: fields.ifThere("key_sequence") { try $0.bool() } ?? false,
        attach: fields.ifThere("attach", attach)
    )
}

private func attach(_ json: JSON) throws -> Attach {
    try json.reading { fields in
        try Attach(
            sid: fields.take("sid").reading { try bytes($0.take("secret")) },
            nextRid: fields.number("next_rid"),
            jid: fields.string("jid"),
            wait: fields.number("wait"),
            hold: fields.number("hold"),
            requests: fields.number("requests"),
            inactivity: fields.ifNumber("inactivity"),
            polling: fields.ifNumber("polling"),
            maxpause: fields.ifNumber("maxpause"),
            acknowledges: fields.bool("acknowledges"),
            keys: fields.ifThere("keys") { keys in
                try keys.reading { keys in
                    try AttachKeys(
                        seed: keys.take("seed").reading { try bytes($0.take("secret")) }, next: keys.number("next"))
                }
            }
        )
    }
}

private func allowsPlaintext(_ json: JSON) throws -> Bool {
    switch try json.string() {
    case "required": false
    case "allow_plaintext": true
    default: throw Unexpected("\(json) is no policy for TLS known here")
    }
}

private func mechanisms(_ json: JSON) throws -> Mechanisms {
    try json.reading { fields in
        let scram = try fields.take("scram").reading { try ($0.number("min") as UInt32, $0.number("max") as UInt32) }
        return try Mechanisms(
            allowPlain: fields.bool("allow_plain"),
            digestMd5: fields.ifThere("digest_md5") { digest in
                try digest.reading {
                    try DigestMd5(realm: $0.ifThere("realm") { try $0.string() }, alwaysUtf8: $0.bool("always_utf8"))
                }
            },
            only: fields.ifThere("only") { try $0.array().map { try $0.string() } },
            least: fields.ifThere("least") { try $0.string() },
            channelBindings: fields.ifThere("channel_bindings") { try $0.array().map { try channelBindings($0) } },
            scramMin: scram.0,
            scramMax: scram.1,
            sasl2: fields.bool("sasl2"),
            pipeline: fields.bool("pipeline"),
            pin: fields.bool("pin"),
            pinChannelBinding: fields.bool("pin_channel_binding"),
            allowMissingHtServerProof: fields.bool("allow_missing_ht_server_proof"),
            upgrade: fields.bool("upgrade")
        )
    }
}

private func limits(_ json: JSON) throws -> Limits {
    try json.reading { fields in
        try Limits(
            elementBeforeLogin: fields.ifNumber("element_before_login"),
            element: fields.ifNumber("element"),
            boshBody: fields.ifNumber("bosh_body"),
            depth: fields.ifNumber("depth"),
            attributes: fields.ifNumber("attributes"),
            namespaces: fields.ifNumber("namespaces"),
            attributeValue: fields.ifNumber("attribute_value"),
            outboundStanza: fields.ifNumber("outbound_stanza"),
            outboundQueue: fields.ifNumber("outbound_queue"),
            inboundQueue: fields.ifNumber("inbound_queue"),
            pendingRequests: fields.ifNumber("pending_requests"),
            unacknowledged: fields.ifNumber("unacknowledged")
        )
    }
}

private func timeouts(_ json: JSON) throws -> Timeouts {
    try json.reading { fields in
        try Timeouts(
            connect: fields.number("connect"),
            negotiation: fields.number("negotiation"),
            close: fields.number("close"),
            iq: fields.number("iq"),
            discovery: fields.number("discovery"),
            fallback: fields.number("fallback")
        )
    }
}

private func reconnect(_ json: JSON) throws -> Reconnect {
    try json.reading { fields in
        try Reconnect(
            when: reconnects(fields.take("when")),
            first: fields.number("first"),
            second: fields.number("second"),
            longest: fields.number("longest"),
            attempts: fields.ifNumber("attempts")
        )
    }
}

private func streamManagement(_ json: JSON) throws -> StreamManagement {
    try json.reading { fields in
        try StreamManagement(
            enabled: fields.bool("enabled"),
            resume: fields.bool("resume"),
            max: fields.ifNumber("max"),
            requestAfter: fields.number("request_after"),
            requestWhenQuiet: fields.number("request_when_quiet"),
            resendUncertain: fields.bool("resend_uncertain")
        )
    }
}

private func liveness(_ json: JSON) throws -> Liveness {
    try json.reading { fields in
        try Liveness(
            askAfter: fields.ifNumber("ask_after"),
            answerWithin: fields.number("answer_within"),
            keepAliveAfter: fields.ifNumber("keep_alive_after")
        )
    }
}

private func userAgent(_ json: JSON) throws -> UserAgent {
    try json.reading { fields in
        try UserAgent(
            id: fields.ifThere("id") { try $0.string() },
            software: fields.ifThere("software") { try $0.string() },
            device: fields.ifThere("device") { try $0.string() }
        )
    }
}

private func bind(_ json: JSON) throws -> Bind {
    try json.reading { try Bind(tag: $0.string("tag"), carbons: $0.bool("carbons")) }
}
