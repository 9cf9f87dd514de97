// Golden logs as they are read: the configuration and the inputs, as the generated classes.
package im.epode.engine

import java.nio.ByteBuffer
import java.util.Base64
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.boolean
import kotlinx.serialization.json.contentOrNull
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.json.long

/** What stands in a log for a secret that is left out. */
internal const val LEFT_OUT = "secret"

/** How bytes go in. */
internal enum class Crossing { IN_THE_ENUM, BORROWED }

internal fun parse(line: String): JsonObject = Json.parseToJsonElement(line).jsonObject

/** Of an enum of the log: its name, and what it holds. */
internal fun JsonElement.variant(): Pair<String, JsonElement> =
    if (this is JsonPrimitive) content to JsonNull else jsonObject.entries.single().toPair()

internal fun JsonObject.at(name: String): JsonElement = get(name) ?: throw AssertionError("'$name' is missing in $this")

internal fun JsonObject.maybe(name: String): JsonElement? = get(name)?.takeUnless { it is JsonNull }

internal fun JsonObject.text(name: String): String = at(name).jsonPrimitive.content

internal fun JsonObject.number(name: String): ULong = at(name).jsonPrimitive.long.toULong()

internal fun JsonObject.maybeText(name: String): String? = maybe(name)?.jsonPrimitive?.contentOrNull

internal fun JsonObject.maybeNumber(name: String): ULong? = maybe(name)?.jsonPrimitive?.long?.toULong()

internal fun JsonObject.flag(name: String, otherwise: Boolean): Boolean = maybe(name)?.jsonPrimitive?.boolean ?: otherwise

internal fun JsonElement.texts(): List<String> = jsonArray.map { it.jsonPrimitive.content }

internal fun JsonElement.data(): ByteArray {
    val (form, value) = variant()
    return when (form) {
        "text" -> value.jsonPrimitive.content.toByteArray()
        "base64" -> Base64.getDecoder().decode(value.jsonPrimitive.content)
        else -> throw AssertionError("bytes as $form")
    }
}

internal inline fun <reified T : Enum<T>> JsonObject.named(name: String): T = enumValueOf(text(name).uppercase())

internal inline fun <reified T : Enum<T>> JsonObject.maybeNamed(name: String): T? = maybeText(name)?.let { enumValueOf<T>(it.uppercase()) }

/** Fails on a field that nothing here reads: what a newer log says must not be passed over. */
private fun JsonObject.holdsOnly(vararg known: String) {
    val unknown = keys - known.toSet()
    if (unknown.isNotEmpty()) throw AssertionError("fields that this test does not know: $unknown")
}

internal fun direct(bytes: ByteArray): ByteBuffer = ByteBuffer.allocateDirect(bytes.size).put(bytes).flip()

internal val BINDINGS: Map<String, ChannelBindingType> = mapOf(
    "tls-exporter" to ChannelBindingType.TLS_EXPORTER,
    "tls-unique" to ChannelBindingType.TLS_UNIQUE,
    "tls-server-end-point" to ChannelBindingType.TLS_SERVER_END_POINT,
)

internal fun tcpTls(name: String): TcpTls = if (name == "starttls") TcpTls.START_TLS else enumValueOf(name.uppercase())

/** The seed of the log's client. */
internal fun seed(header: JsonObject): ByteArray = header.text("seed_is_secret").chunked(2).map { it.toInt(16).toByte() }.toByteArray()

/** The configuration; [password] is put where the log leaves a secret out. */
internal fun config(header: JsonObject, password: String): Config {
    val config = header.at("config").jsonObject
    config.holdsOnly(
        "jid", "credentials", "transports", "authzid", "tls", "mechanisms", "limits", "timeouts", "reconnect", "stream_management", "liveness",
        "persist", "acknowledge", "user_agent", "fast", "bind", "key_derivation", "tasks", "language", "answered_namespaces",
    )
    return Config(
        jid = config.text("jid"),
        credentials = credentials(config.at("credentials"), password),
        transports = config.at("transports").jsonArray.map(::transport),
        authzid = config.maybeNamed<Authzid>("authzid"),
        allowPlaintext = when (val tls = config.text("tls")) {
            "required" -> false
            "allow_plaintext" -> true
            else -> throw AssertionError("tls: $tls")
        },
        mechanisms = config.maybe("mechanisms")?.jsonObject?.let(::mechanisms),
        limits = config.maybe("limits")?.jsonObject?.let(::limits),
        timeouts = config.maybe("timeouts")?.jsonObject?.let(::timeouts),
        reconnect = config.maybe("reconnect")?.jsonObject?.let {
            it.holdsOnly("when", "first", "second", "longest", "attempts")
            Reconnect(it.named<ReconnectWhen>("when"), it.number("first"), it.number("second"), it.number("longest"), it.maybeNumber("attempts")?.toUInt())
        },
        streamManagement = config.maybe("stream_management")?.jsonObject?.let {
            it.holdsOnly("enabled", "resume", "max", "request_after", "request_when_quiet", "resend_uncertain")
            StreamManagement(
                it.flag("enabled", true), it.flag("resume", true), it.maybeNumber("max")?.toUInt(), it.number("request_after").toUShort(),
                it.number("request_when_quiet"), it.flag("resend_uncertain", false),
            )
        },
        liveness = config.maybe("liveness")?.jsonObject?.let {
            it.holdsOnly("ask_after", "answer_within", "keep_alive_after")
            Liveness(it.maybeNumber("ask_after"), it.number("answer_within"), it.maybeNumber("keep_alive_after"))
        },
        persist = config.maybeNamed<Persist>("persist"),
        acknowledge = config.maybeNamed<Acknowledge>("acknowledge"),
        userAgent = config.maybe("user_agent")?.jsonObject?.let { UserAgent(it.maybeText("id"), it.maybeText("software"), it.maybeText("device")) },
        fast = config.maybeNamed<Fast>("fast"),
        bind = config.maybe("bind")?.jsonObject?.let { Bind(it.text("tag"), it.flag("carbons", false)) },
        keyDerivation = config.maybeNamed<KeyDerivation>("key_derivation"),
        tasks = config.maybe("tasks")?.texts().orEmpty(),
        language = config.text("language"),
        answers = config.maybe("answered_namespaces")?.texts().orEmpty(),
    )
}

private fun credentials(entry: JsonElement, password: String): Credentials {
    val (kind, value) = entry.variant()
    val fields = value as? JsonObject
    val secret = { name: String -> fields!!.text(name).let { if (it == LEFT_OUT) password else it }.toByteArray() }
    return when (kind) {
        "nothing" -> Credentials.Nothing
        "anonymous" -> Credentials.Anonymous
        "kept_token" -> Credentials.KeptToken
        "certificate" -> Credentials.Certificate(fields!!.text("identity"), fields.maybe("der")?.data())
        "password" -> Credentials.Password(secret("password"))
        "certificate_and_password" -> Credentials.CertificateAndPassword(fields!!.text("identity"), secret("password"))
        "access_token" -> Credentials.AccessToken(secret("token"))
        "new_account" -> Credentials.NewAccount(secret("password"))
        "scram_key" -> Credentials.ScramKey(DerivedKey.fromBytes(direct(fields!!.at("key").jsonObject.at("bytes").data())))
        else -> throw AssertionError("credentials of the kind $kind: this test cannot make them")
    }
}

private fun transport(entry: JsonElement): Transport {
    val (kind, value) = entry.variant()
    val fields = value.jsonObject
    return when (kind) {
        "tcp" -> Transport.Tcp(fields.text("host"), fields.number("port").toUShort(), tcpTls(fields.text("tls")))
        "websocket" -> Transport.WebSocket(fields.text("url"))
        "discover" -> Transport.Discover(fields.flag("tcp", true), fields.flag("websocket", true), fields.flag("bosh", true))
        "bosh" -> {
            fields.holdsOnly("url", "wait", "hold", "ack", "first_rid", "max_requests", "key_sequence")
            Transport.Bosh(
                Bosh(
                    fields.text("url"), fields.number("wait").toUShort(), fields.number("hold").toUByte(), fields.flag("ack", true),
                    fields.maybeNumber("first_rid"), fields.number("max_requests").toUByte(), fields.flag("key_sequence", false),
                ),
            )
        }
        else -> throw AssertionError("a transport of the kind $kind")
    }
}

private fun mechanisms(fields: JsonObject): Mechanisms {
    fields.holdsOnly(
        "allow_plain", "digest_md5", "only", "least", "channel_bindings", "scram", "sasl2", "pipeline", "pin", "pin_channel_binding",
        "allow_missing_ht_server_proof", "upgrade",
    )
    val scram = fields.at("scram").jsonObject
    return Mechanisms(
        allowPlain = fields.flag("allow_plain", false),
        digestMd5 = fields.maybe("digest_md5")?.jsonObject?.let { DigestMd5(it.maybeText("realm"), it.flag("always_utf8", false)) },
        only = fields.maybe("only")?.texts(),
        least = fields.maybeText("least"),
        channelBindings = fields.maybe("channel_bindings")?.texts()?.map(BINDINGS::getValue),
        scramMin = scram.number("min").toUInt(),
        scramMax = scram.number("max").toUInt(),
        sasl2 = fields.flag("sasl2", true),
        pipeline = fields.flag("pipeline", true),
        pin = fields.flag("pin", true),
        pinChannelBinding = fields.flag("pin_channel_binding", false),
        allowMissingHtServerProof = fields.flag("allow_missing_ht_server_proof", false),
        upgrade = fields.flag("upgrade", false),
    )
}

private fun limits(fields: JsonObject): Limits {
    fields.holdsOnly(
        "element_before_login", "element", "bosh_body", "depth", "attributes", "namespaces", "attribute_value", "outbound_stanza",
        "outbound_queue", "inbound_queue", "pending_requests", "unacknowledged",
    )
    return Limits(
        fields.maybeNumber("element_before_login"), fields.maybeNumber("element"), fields.maybeNumber("bosh_body"), fields.maybeNumber("depth"),
        fields.maybeNumber("attributes"), fields.maybeNumber("namespaces"), fields.maybeNumber("attribute_value"),
        fields.maybeNumber("outbound_stanza"), fields.maybeNumber("outbound_queue"), fields.maybeNumber("inbound_queue"),
        fields.maybeNumber("pending_requests"), fields.maybeNumber("unacknowledged"),
    )
}

private fun timeouts(fields: JsonObject): Timeouts {
    fields.holdsOnly("connect", "negotiation", "close", "iq", "discovery", "fallback")
    return Timeouts(
        fields.number("connect"), fields.number("negotiation"), fields.number("close"), fields.number("iq"), fields.number("discovery"),
        fields.number("fallback"),
    )
}

/** Gives one recorded input to the client. [keys] are those that the client asked its host to derive. */
internal fun feed(client: Client, now: ULong, entry: JsonElement, crossing: Crossing, password: String, keys: Map<ULong, DerivedKey>): Step {
    val (kind, value) = entry.variant()
    val fields = value as? JsonObject ?: JsonObject(emptyMap())
    val link = { fields.number("link") }
    val token = { fields.number("token") }
    if (crossing == Crossing.BORROWED) {
        if (kind == "received") return client.received(now, link(), direct(fields.at("bytes").data()))
        if (kind == "responded") {
            val body = direct(fields.at("body").data())
            return client.responded(now, link(), fields.number("request"), fields.number("status").toUShort(), body, fields.maybe("tls")?.let(::tlsFacts))
        }
    }
    val input = when (kind) {
        "start" -> Input.Start
        "stop" -> Input.Stop
        "tick" -> Input.Tick
        "restore" -> Input.Restore(fields.named("slot"), fields.at("bytes").jsonObject.at("secret").data())
        "clock" -> Input.Clock(fields.number("unix_ms"))
        "resolved" -> Input.Resolved(fields.number("query"), resolution(fields.at("answer")))
        "connected" -> Input.Connected(link(), linkInfo(fields.at("info").jsonObject))
        "received" -> Input.Received(link(), fields.at("bytes").data())
        "written" -> Input.Written(link(), fields.number("bytes"))
        "responded" -> Input.Responded(
            link(), fields.number("request"), fields.number("status").toUShort(), fields.at("body").data(), fields.maybe("tls")?.let(::tlsFacts),
        )
        "failed" -> Input.Failed(link(), fields.maybeNumber("request"), failure(fields.at("reason")))
        "ended" -> Input.Ended(link())
        "reading" -> Input.Reading(link(), fields.flag("reading", true))
        "network" -> Input.Network(enumValueOf(value.jsonPrimitive.content.uppercase()))
        "foreground" -> Input.Foreground(value.jsonPrimitive.boolean)
        "pause" -> Input.Pause(fields.number("seconds").toUInt())
        "handled" -> Input.Handled(token())
        "derived" -> {
            val key = keys.getValue(fields.number("job"))
            // A log that leaves nothing out has the key as it is kept.
            fields.at("key").jsonObject.maybe("bytes")?.let { check(it.data().contentEquals(key.toBytes())) { "another key than that of the log" } }
            Input.Derived(fields.number("job"), key)
        }
        "provide" -> Input.Provide(credentials(fields.at("credentials"), password))
        "task" -> Input.Task(fields.maybeText("payload")?.toByteArray())
        "send" -> Input.Send(fields.text("stanza").toByteArray())
        "request" -> Input.Request(fields.text("iq").toByteArray(), fields.maybeNumber("timeout"))
        "respond" -> Input.Respond(token(), reply(fields.at("result")))
        "cancel" -> Input.Cancel(token())
        else -> throw AssertionError("an input of the kind $kind")
    }
    return client.handle(now, input)
}

private fun linkInfo(info: JsonObject): LinkInfo {
    info.holdsOnly(
        "encrypted", "verified", "tls_version", "client_certificate_requested", "client_certificate", "alpn", "subprotocol", "channel_bindings",
    )
    val bound = info.maybe("channel_bindings")?.jsonObject
    return LinkInfo(
        encrypted = info.flag("encrypted", false),
        verified = verified(info.at("verified")),
        tlsVersion = info.maybeText("tls_version"),
        clientCertificateRequested = info.maybe("client_certificate_requested")?.jsonPrimitive?.boolean,
        clientCertificate = info.maybe("client_certificate")?.data(),
        alpn = info.maybeText("alpn"),
        subprotocol = info.maybeText("subprotocol"),
        channelBindings = bound?.let {
            ChannelBindings(it.maybe("tls_exporter")?.data(), it.maybe("tls_unique")?.data(), it.maybe("tls_server_end_point")?.data())
        },
    )
}

private fun verified(entry: JsonElement): Verified {
    val (kind, value) = entry.variant()
    return when (kind) {
        "no" -> Verified.No
        "host" -> Verified.Host(value.jsonObject.text("name"))
        "platform" -> Verified.Platform(value.jsonObject.text("name"))
        else -> throw AssertionError("verified: $kind")
    }
}

private fun tlsFacts(entry: JsonElement): TlsFacts = entry.jsonObject.let {
    it.holdsOnly("version", "server_certificate_sha256", "client_certificate_requested")
    TlsFacts(
        it.maybeText("version"), it.maybe("server_certificate_sha256")?.data(), it.maybe("client_certificate_requested")?.jsonPrimitive?.boolean,
    )
}

private fun resolution(entry: JsonElement): Resolution {
    val (kind, value) = entry.variant()
    return when (kind) {
        "records" -> Resolution.Records(
            (value as JsonArray).map(JsonElement::jsonObject).map {
                SrvRecord(it.number("priority").toUShort(), it.number("weight").toUShort(), it.number("port").toUShort(), it.text("target"))
            },
        )
        "document" -> Resolution.Document(value.data())
        "failed" -> Resolution.Failed(failure(value))
        else -> throw AssertionError("an answer of the kind $kind")
    }
}

private fun failure(entry: JsonElement): Failure {
    val (kind, value) = entry.variant()
    return when (kind) {
        "dns" -> Failure.Dns
        "refused" -> Failure.Refused
        "timeout" -> Failure.Timeout
        "reset" -> Failure.Reset
        "tls_alert" -> Failure.TlsAlert(value.jsonPrimitive.long.toUByte())
        "certificate_rejected" -> Failure.CertificateRejected(value.jsonObject.text("reason"))
        "http" -> Failure.Http(value.jsonObject.text("reason"))
        "other" -> Failure.Other(value.jsonObject.text("reason"))
        else -> throw AssertionError("a failure of the kind $kind")
    }
}

private fun reply(entry: JsonElement): Reply {
    val (kind, value) = entry.variant()
    if (kind == "Ok") return Reply.Result((value as? JsonPrimitive)?.contentOrNull?.toByteArray())
    val error = value.jsonObject
    return Reply.Error(StanzaError(error.named("kind"), error.text("condition"), error.maybeText("text")))
}
