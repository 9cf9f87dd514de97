// Golden logs as they are written: outputs and events of the generated classes, as the record format has them.
package im.epode.engine

import java.nio.ByteBuffer
import java.nio.charset.CharacterCodingException
import java.util.Base64
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.jsonObject

private fun json(value: Any?): JsonElement = when (value) {
    null -> JsonNull
    is JsonElement -> value
    is String -> JsonPrimitive(value)
    is Boolean -> JsonPrimitive(value)
    is ULong -> JsonPrimitive(value.toLong())
    is UInt -> JsonPrimitive(value.toLong())
    is UShort -> JsonPrimitive(value.toInt())
    else -> throw AssertionError("${value::class} in an output")
}

private fun fields(vararg pairs: Pair<String, Any?>): JsonObject = JsonObject(pairs.associate { (name, value) -> name to json(value) })

/** Without what is absent, as the format writes it. */
private fun present(vararg pairs: Pair<String, Any?>): JsonObject = fields(*pairs.filter { it.second != null }.toTypedArray())

internal fun asData(bytes: ByteArray): JsonObject = try {
    fields("text" to Charsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString())
} catch (_: CharacterCodingException) {
    fields("base64" to Base64.getEncoder().encodeToString(bytes))
}

private fun word(name: Enum<*>): String = name.name.lowercase()

private fun binding(type: ChannelBindingType): String = BINDINGS.entries.single { it.value == type }.key

private fun asTransport(kind: TransportKind): String = if (kind == TransportKind.WEB_SOCKET) "websocket" else word(kind)

private fun asTls(tls: TcpTls): String = if (tls == TcpTls.START_TLS) "starttls" else word(tls)

internal fun asEntry(output: Output): JsonObject = when (output) {
    is Output.Connect -> fields(
        "connect" to present(
            "link" to output.link, "endpoint" to asEndpoint(output.endpoint), "server_name" to output.serverName, "identity" to output.identity,
            "max_message" to output.maxMessage,
        ),
    )
    is Output.Resolve ->
        fields("resolve" to fields("query" to output.query, "question" to asQuestion(output.question), "deadline" to output.deadlineMs))
    is Output.Store -> fields(
        "store" to fields("slot" to word(output.slot), "append" to output.append, "bytes" to fields("secret" to asData(output.bytes))),
    )
    is Output.Write -> fields("write" to fields("link" to output.link, "bytes" to asData(output.bytes)))
    is Output.Frame -> fields("frame" to fields("link" to output.link, "text" to output.text))
    is Output.StartTls -> fields("start_tls" to fields("link" to output.link, "server_name" to output.serverName))
    is Output.Post -> fields(
        "post" to fields("link" to output.link, "request" to output.request, "body" to asData(output.body), "deadline" to output.deadlineMs),
    )
    is Output.Abandon -> fields("abandon" to fields("link" to output.link, "request" to output.request))
    is Output.Close -> fields("close" to fields("link" to output.link))
    is Output.DeriveKey -> fields("derive_key" to fields("job" to output.job, "derivation" to asDerivation(output.derivation)))
    is Output.Event -> fields("event" to asEvent(output.event))
}

private fun asDerivation(derivation: Derivation): JsonObject = fields(
    "hash" to word(derivation.hash()), "salt" to asData(derivation.salt()), "iterations" to derivation.iterations(),
    "password" to derivation.password().decodeToString(),
)

private fun asEndpoint(endpoint: Endpoint): JsonObject = when (endpoint) {
    is Endpoint.Tcp -> fields("tcp" to fields("host" to endpoint.host, "port" to endpoint.port, "tls" to asTls(endpoint.tls)))
    is Endpoint.WebSocket -> fields("websocket" to fields("url" to endpoint.url))
    is Endpoint.Bosh -> fields("bosh" to fields("url" to endpoint.url))
}

private fun asQuestion(question: Question): JsonObject = when (question) {
    is Question.Srv -> fields("srv" to fields("name" to question.name))
    is Question.Document -> fields("document" to fields("url" to question.url, "max_bytes" to question.maxBytes))
}

private fun asEvent(event: Event): JsonElement = when (event) {
    is Event.Online -> fields(
        "online" to present(
            "jid" to event.jid, "mechanism" to event.mechanism, "server_proof" to word(event.serverProof),
            "channel_binding" to event.channelBinding?.let(::binding), "profile" to event.profile?.let(::word), "resumed" to event.resumed,
            "client_certificate_requested" to event.clientCertificateRequested, "round_trips" to event.roundTrips,
            "transport" to asTransport(event.transport),
        ),
    )
    is Event.Offered -> fields(
        "offered" to fields(
            "features" to event.features.decodeToString(), "transport" to asTransport(event.transport), "encrypted" to event.encrypted,
        ),
    )
    is Event.Task -> fields("task" to present("task" to event.task, "payload" to event.payload?.decodeToString(), "text" to event.text))
    is Event.Stanza -> fields("stanza" to present("stanza" to event.stanza.xml.decodeToString(), "token" to event.token))
    is Event.Request -> fields("request" to fields("token" to event.token, "iq" to event.iq.xml.decodeToString()))
    is Event.Delivery -> fields("delivery" to fields("token" to event.token, "stage" to word(event.stage)))
    is Event.IqDone -> fields("iq_done" to fields("token" to event.token, "result" to asResult(event.result)))
    is Event.Writable -> JsonPrimitive("writable")
    // Errors and warnings cross as their names and sentences: the names are compared.
    is Event.Interrupted -> fields(
        "interrupted" to present("reason" to event.reason.code, "retry_at" to event.retryAtMs, "resumable" to event.resumable),
    )
    is Event.Warning -> fields("warning" to event.code)
    is Event.Offline -> fields("offline" to fields("reason" to event.reason.code))
}

private fun asResult(result: IqResult): JsonObject = when (result) {
    is IqResult.Answer -> fields("Ok" to result.iq.xml.decodeToString())
    is IqResult.Error -> fields(
        "Err" to fields(
            "error" to present("kind" to word(result.error.kind), "condition" to result.error.condition, "text" to result.error.text),
        ),
    )
    IqResult.Timeout -> fields("Err" to "timeout")
    IqResult.Disconnected -> fields("Err" to "disconnected")
    IqResult.Cancelled -> fields("Err" to "cancelled")
}

/** A recorded output, its errors and warnings reduced to what crosses: the name of the innermost variant. */
internal fun reduced(output: JsonObject): JsonObject {
    val event = output["event"] as? JsonObject ?: return output
    val (kind, value) = event.variant()
    return when (kind) {
        "interrupted", "offline" ->
            fields("event" to fields(kind to JsonObject(value.jsonObject + ("reason" to JsonPrimitive(code(value.jsonObject.at("reason")))))))
        "warning" -> fields("event" to fields(kind to value.variant().first))
        else -> output
    }
}

private fun code(reason: JsonElement): String {
    val (group, error) = reason.variant()
    return if (error is JsonNull || group == "ended") group else error.variant().first
}
