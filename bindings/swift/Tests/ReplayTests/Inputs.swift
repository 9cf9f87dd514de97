// The inputs of a log, for the engine.

import EpodeEngine
import Foundation

/// What an input of a log is; a received or responded one has its bytes changed by `restore`, which puts proofs back.
func input(_ json: JSON, password: Data, restore: (Data) throws -> Data) throws -> Input {
    let (kind, value) = try json.variant()
    switch kind {
    case "start": return .start
    case "stop": return .stop
    case "tick": return .tick
    case "network": return try .network(network: networks(value))
    case "foreground": return try .foreground(foreground: value.bool())
    default: break
    }
    return try value.reading { fields in
        switch kind {
        case "restore":
            try .restore(slot: slots(fields.take("slot")), bytes: fields.take("bytes").reading { try bytes($0.take("secret")) })
        case "clock": try .clock(unixMs: fields.number("unix_ms"))
        case "resolved": try .resolved(query: fields.number("query"), resolution: resolution(fields.take("answer")))
        case "connected": try .connected(link: fields.number("link"), info: linkInfo(fields.take("info")))
        case "received": try .received(link: fields.number("link"), bytes: restore(bytes(fields.take("bytes"))))
        case "written": try .written(link: fields.number("link"), bytes: fields.number("bytes"))
        case "responded":
            try .responded(
                link: fields.number("link"),
                request: fields.number("request"),
                status: fields.number("status"),
                body: restore(bytes(fields.take("body"))),
                tls: fields.ifThere("tls", tlsFacts)
            )
        case "failed":
            try .failed(
                link: fields.number("link"), request: fields.ifNumber("request"), reason: failure(fields.take("reason")))
        case "ended": try .ended(link: fields.number("link"))
        case "reading": try .reading(link: fields.number("link"), reading: fields.bool("reading"))
        case "pause": try .pause(seconds: fields.number("seconds"))
        case "handled": try .handled(token: fields.number("token"))
        case "derived": try .derived(job: fields.number("job"), key: derivedKey(fields.take("key")))
        case "provide": try .provide(credentials: credentials(fields.take("credentials"), password: password))
        case "task": try .task(payload: fields.ifThere("payload", xml))
        case "send": try .send(xml: xml(fields.take("stanza")))
        case "request": try .request(xml: xml(fields.take("iq")), timeoutMs: fields.ifNumber("timeout"))
        case "respond": try .respond(token: fields.number("token"), reply: reply(fields.take("result")))
        case "cancel": try .cancel(token: fields.number("token"))
        default: throw Unexpected("the input \(kind) is not known here")
        }
    }
}

private func xml(_ json: JSON) throws -> Data {
    Data(try json.string().utf8)
}

private func resolution(_ json: JSON) throws -> Resolution {
    let (kind, value) = try json.variant()
    switch kind {
    case "records":
        return try .records(
            records: value.array().map { record in
                try record.reading { fields in
                    try SrvRecord(
                        priority: fields.number("priority"),
                        weight: fields.number("weight"),
                        port: fields.number("port"),
                        target: fields.string("target")
                    )
                }
            })
    case "document": return try .document(bytes: bytes(value))
    case "failed": return try .failed(reason: failure(value))
    default: throw Unexpected("the answer \(kind) is not known here")
    }
}

private func linkInfo(_ json: JSON) throws -> LinkInfo {
    try json.reading { fields in
        try LinkInfo(
            encrypted: fields.bool("encrypted"),
            verified: verified(fields.take("verified")),
            tlsVersion: fields.ifThere("tls_version") { try $0.string() },
            clientCertificateRequested: fields.ifThere("client_certificate_requested") { try $0.bool() },
            clientCertificate: fields.ifThere("client_certificate", bytes),
            alpn: fields.ifThere("alpn") { try $0.string() },
            subprotocol: fields.ifThere("subprotocol") { try $0.string() },
            channelBindings: fields.ifThere("channel_bindings") { bindings in
                try bindings.reading { bindings in
                    try ChannelBindings(
                        tlsExporter: bindings.ifThere("tls_exporter", bytes),
                        tlsUnique: bindings.ifThere("tls_unique", bytes),
                        tlsServerEndPoint: bindings.ifThere("tls_server_end_point", bytes)
                    )
                }
            }
        )
    }
}

private func verified(_ json: JSON) throws -> Verified {
    let (kind, value) = try json.variant()
    switch kind {
    case "no": return .no
    case "host": return try value.reading { try .host(name: $0.string("name")) }
    case "platform": return try value.reading { try .platform(name: $0.string("name")) }
    default: throw Unexpected("\(json) is no verification known here")
    }
}

private func tlsFacts(_ json: JSON) throws -> TlsFacts {
    try json.reading { fields in
        try TlsFacts(
            version: fields.ifThere("version") { try $0.string() },
            serverCertificateSha256: fields.ifThere("server_certificate_sha256", bytes),
            clientCertificateRequested: fields.ifThere("client_certificate_requested") { try $0.bool() }
        )
    }
}

private func failure(_ json: JSON) throws -> Failure {
    let (kind, value) = try json.variant()
    switch kind {
    case "dns": return .dns
    case "refused": return .refused
    case "timeout": return .timeout
    case "reset": return .reset
    case "tls_alert": return try .tlsAlert(alert: value.number())
    case "certificate_rejected": return try value.reading { try .certificateRejected(reason: $0.string("reason")) }
    case "http": return try value.reading { try .http(reason: $0.string("reason")) }
    case "other": return try value.reading { try .other(reason: $0.string("reason")) }
    default: throw Unexpected("the failure \(kind) is not known here")
    }
}

private func reply(_ json: JSON) throws -> Reply {
    let (kind, value) = try json.variant()
    switch kind {
    case "Ok": return try .result(payload: value == .null ? nil : xml(value))
    case "Err":
        return try value.reading { fields in
            try .error(
                error: StanzaError(
                    kind: errorTypes(fields.take("kind")),
                    condition: fields.string("condition"),
                    text: fields.ifThere("text") { try $0.string() }
                ))
        }
    default: throw Unexpected("\(json) is neither a result nor an error")
    }
}
