// What comes out of the engine, as the logs write it.

import EpodeEngine
import Foundation

/// The output as a log has it.
func asEntry(_ output: Output) throws -> JSON {
    switch output {
    case .resolve(let query, let question, let deadline):
        .object(["resolve": .object(["query": .number(query), "question": asQuestion(question), "deadline": .number(deadline)])])
    case .store(let slot, let append, let bytes):
        try .object([
            "store": .object(["slot": slots(slot), "append": .bool(append), "bytes": .object(["secret": asBytes(bytes)])])
        ])
    case .connect(let link, let endpoint, let serverName, let identity, let maxMessage):
        try .object([
            "connect": .object([
                "link": .number(link),
                "endpoint": asEndpoint(endpoint),
                "server_name": .string(serverName),
                "identity": identity.map(JSON.string),
                "max_message": .number(maxMessage),
            ])
        ])
    case .write(let link, let bytes):
        .object(["write": .object(["link": .number(link), "bytes": asBytes(bytes)])])
    case .frame(let link, let text):
        .object(["frame": .object(["link": .number(link), "text": .string(text)])])
    case .startTls(let link, let serverName):
        .object(["start_tls": .object(["link": .number(link), "server_name": .string(serverName)])])
    case .post(let link, let request, let body, let deadline):
        .object([
            "post": .object([
                "link": .number(link), "request": .number(request), "body": asBytes(body), "deadline": .number(deadline),
            ])
        ])
    case .abandon(let link, let request):
        .object(["abandon": .object(["link": .number(link), "request": .number(request)])])
    case .close(let link):
        .object(["close": .object(["link": .number(link)])])
    case .deriveKey(let job, let derivation):
        try .object([
            "derive_key": .object([
                "job": .number(job),
                "derivation": .object([
                    "hash": scramHashes(derivation.hash()),
                    "salt": asBytes(derivation.salt()),
                    "iterations": .number(UInt64(derivation.iterations())),
                    "password": text(derivation.password()),
                ]),
            ])
        ])
    case .event(let event):
        try .object(["event": asEvent(event)])
    }
}

private func asQuestion(_ question: Question) -> JSON {
    switch question {
    case .srv(let name): .object(["srv": .object(["name": .string(name)])])
    case .document(let url, let maxBytes):
        .object(["document": .object(["url": .string(url), "max_bytes": .number(maxBytes)])])
    }
}

private func asEndpoint(_ endpoint: Endpoint) throws -> JSON {
    switch endpoint {
    case .tcp(let host, let port, let tls):
        try .object(["tcp": .object(["host": .string(host), "port": .number(UInt64(port)), "tls": tcpTls(tls)])])
    case .webSocket(let url): .object(["websocket": .object(["url": .string(url)])])
    case .bosh(let url): .object(["bosh": .object(["url": .string(url)])])
    }
}

private func asEvent(_ event: Event) throws -> JSON {
    switch event {
    case .online(
        let jid, let mechanism, let serverProof, let binding, let profile, let resumed, let requested, let roundTrips,
        let transport
    ):
        try .object([
            "online": .object([
                "jid": .string(jid),
                "mechanism": .string(mechanism),
                "server_proof": serverProofs(serverProof),
                "channel_binding": binding.map { try channelBindings($0) },
                "profile": profile.map { try profiles($0) },
                "resumed": .bool(resumed),
                "client_certificate_requested": requested.map(JSON.bool),
                "round_trips": .number(UInt64(roundTrips)),
                "transport": transportKinds(transport),
            ])
        ])
    // Errors and warnings cross as their names and sentences: those are compared.
    case .interrupted(let reason, let retryAt, let resumable):
        .object([
            "interrupted": .object([
                "reason": .string(reason.code), "retry_at": retryAt.map(JSON.number), "resumable": .bool(resumable),
            ])
        ])
    case .offered(let features, let transport, let encrypted):
        try .object([
            "offered": .object([
                "features": text(features), "transport": transportKinds(transport), "encrypted": .bool(encrypted),
            ])
        ])
    case .task(let task, let payload, let said):
        try .object([
            "task": .object(["task": .string(task), "payload": payload.map(text), "text": said.map(JSON.string)])
        ])
    case .offline(let reason):
        .object(["offline": .object(["reason": .string(reason.code)])])
    case .stanza(let stanza, let token):
        try .object(["stanza": .object(["stanza": text(stanza.xml), "token": token.map(JSON.number)])])
    case .request(let token, let iq):
        try .object(["request": .object(["token": .number(token), "iq": text(iq.xml)])])
    case .iqDone(let token, let result):
        try .object(["iq_done": .object(["token": .number(token), "result": asResult(result)])])
    case .delivery(let token, let stage):
        try .object(["delivery": .object(["token": .number(token), "stage": stages(stage)])])
    case .writable:
        .string("writable")
    case .warning(let code, _):
        .object(["warning": .string(code)])
    }
}

private func asResult(_ result: IqResult) throws -> JSON {
    switch result {
    case .answer(let iq): try .object(["Ok": text(iq.xml)])
    case .error(let error):
        try .object([
            "Err": .object([
                "error": .object([
                    "kind": errorTypes(error.kind), "condition": .string(error.condition), "text": error.text.map(JSON.string),
                ])
            ])
        ])
    case .timeout: .object(["Err": .string("timeout")])
    case .disconnected: .object(["Err": .string("disconnected")])
    case .cancelled: .object(["Err": .string("cancelled")])
    }
}

/// Elements are UTF-8, and so are prepared passwords.
private func text(_ xml: Data) throws -> JSON {
    guard let text = String(data: xml, encoding: .utf8) else { throw Unexpected("this is not UTF-8") }
    return .string(text)
}

/// A recorded output with its errors and warnings reduced to what crosses: the innermost variant's name.
func named(_ output: JSON) throws -> JSON {
    guard case .object(let outer) = output, case .object(let event)? = outer["event"], let (kind, value) = event.first else {
        return output
    }
    switch kind {
    case "interrupted", "offline":
        var fields = try value.fields()
        fields["reason"] = try .string(code(fields["reason"] ?? .null))
        return .object(["event": .object([kind: .object(fields)])])
    case "warning":
        return try .object(["event": .object(["warning": .string(value.variant().name)])])
    default:
        return output
    }
}

private func code(_ reason: JSON) throws -> String {
    if case .string(let reason) = reason { return reason }
    let (group, error) = try reason.variant()
    return group == "ended" ? "ended" : try error.variant().name
}
