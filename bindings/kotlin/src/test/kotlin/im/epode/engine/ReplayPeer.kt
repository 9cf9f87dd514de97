// The other side of the logins in a golden log: makes the proofs that the log leaves out, and checks the client's.
package im.epode.engine

import java.security.MessageDigest
import java.util.Base64
import javax.crypto.Mac
import javax.crypto.SecretKeyFactory
import javax.crypto.spec.PBEKeySpec
import javax.crypto.spec.SecretKeySpec
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.jsonObject

/**
 * Knows the password that the client has. Where a log has a placeholder (`*server-proof***`) in what the server says, it puts the proof that
 * belongs there; a token is whatever stands in the log. SCRAM is RFC 5802 §3, HT is draft-schmaus-kitten-sasl-ht-09 §3.
 */
internal class ReplayPeer(private val password: String) {
    private class Exchange(val mechanism: String, val first: String, val bindings: JsonObject?) {
        var challenge: String? = null
        var last: String? = null
    }

    private val bindings = mutableMapOf<ULong, JsonObject?>()
    private val exchanges = mutableMapOf<ULong, Exchange>()
    private var token: String? = null

    /** The input as a server that knows the password would have given it. */
    fun input(entry: JsonElement): JsonElement {
        val (kind, value) = entry.variant()
        if (value !is JsonObject) return entry
        when (kind) {
            "connected" -> bindings[value.number("link")] = value.at("info").jsonObject.maybe("channel_bindings")?.jsonObject
            "received", "responded" -> {
                val link = value.number("link")
                val filled = mapText(value) { heard(link, it) }
                return JsonObject(mapOf(kind to filled))
            }
        }
        return entry
    }

    private fun heard(link: ULong, text: String): String {
        CHALLENGE.find(text)?.let { exchanges.getValue(link).challenge = decode(it.groupValues[1]).decodeToString() }
        // The proof belongs to the token that the client has by now, not to the next one.
        val filled = SERVER_PROOF.replace(text) { found ->
            val proof = Base64.getEncoder().encodeToString(serverProof(exchanges[link] ?: throw AssertionError("a proof, and no login")))
            if (proof.length != found.value.length) throw AssertionError("a proof of ${found.value.length} characters: this test makes ${proof.length}")
            proof
        }
        TOKEN.find(text)?.let { token = it.groupValues[1] }
        return filled
    }

    /** Sees an output: a login's messages are remembered, its proof is checked. */
    fun output(output: JsonObject) {
        val (kind, value) = output.variant()
        if (kind !in WRITES) return
        val link = value.jsonObject.number("link")
        mapText(value) { text ->
            FIRST.find(text)?.let {
                val exchange = Exchange(it.groupValues[1], decode(it.groupValues[2]).decodeToString(), bindings[link])
                exchanges[link] = exchange
                if (exchange.mechanism.startsWith("HT-")) {
                    check(decode(it.groupValues[2]).endsWith(hmac("HmacSHA256", tokenBytes(), "Initiator".toByteArray() + bound(exchange)))) {
                        "the client's proof of its token is wrong"
                    }
                }
            }
            RESPONSE.find(text)?.let {
                val exchange = exchanges.getValue(link)
                exchange.last = decode(it.groupValues[1]).decodeToString()
                checkClient(exchange)
            }
            text
        }
    }

    private fun checkClient(exchange: Exchange) {
        val scram = Scram.of(exchange.mechanism) ?: return
        val last = exchange.last!!
        val signature = scram.hmac(scram.hash(scram.clientKey(password, exchange.challenge!!)), authMessage(exchange))
        val key = scram.clientKey(password, exchange.challenge!!)
        val proof = ByteArray(key.size) { at -> (key[at].toInt() xor signature[at].toInt()).toByte() }
        check(last.substringAfterLast(",p=") == Base64.getEncoder().encodeToString(proof)) { "the client's proof of its password is wrong" }
    }

    private fun serverProof(exchange: Exchange): ByteArray {
        if (exchange.mechanism.startsWith("HT-")) return hmac("HmacSHA256", tokenBytes(), "Responder".toByteArray() + bound(exchange))
        val scram = Scram.of(exchange.mechanism) ?: throw AssertionError("a proof of ${exchange.mechanism}: this test cannot make one")
        val signature = scram.hmac(scram.serverKey(password, exchange.challenge!!), authMessage(exchange))
        return "v=${Base64.getEncoder().encodeToString(signature)}".toByteArray()
    }

    private fun authMessage(exchange: Exchange): ByteArray {
        val bare = exchange.first.split(",", limit = 3)[2]
        return "$bare,${exchange.challenge},${exchange.last!!.substringBeforeLast(",p=")}".toByteArray()
    }

    private fun bound(exchange: Exchange): ByteArray = when (val suffix = exchange.mechanism.substringAfterLast('-')) {
        "NONE" -> ByteArray(0)
        else -> exchange.bindings?.maybe(
            mapOf("EXPR" to "tls_exporter", "UNIQ" to "tls_unique", "ENDP" to "tls_server_end_point").getValue(suffix),
        )!!.data()
    }

    private fun tokenBytes() = (token ?: throw AssertionError("a login by token, and there was none")).toByteArray()

    /** One of RFC 5802's family: the name of the hash in the platform's terms. */
    private class Scram(private val digest: String) {
        private val mac = "Hmac" + digest.replace("-", "")

        fun hash(bytes: ByteArray): ByteArray = MessageDigest.getInstance(digest).digest(bytes)

        fun hmac(key: ByteArray, bytes: ByteArray): ByteArray = hmac(mac, key, bytes)

        fun clientKey(password: String, challenge: String) = hmac(salted(password, challenge), "Client Key".toByteArray())

        fun serverKey(password: String, challenge: String) = hmac(salted(password, challenge), "Server Key".toByteArray())

        private fun salted(password: String, challenge: String): ByteArray {
            val fields = challenge.split(",").associate { it.substringBefore("=") to it.substringAfter("=") }
            val spec = PBEKeySpec(password.toCharArray(), decode(fields.getValue("s")), fields.getValue("i").toInt(), hash(ByteArray(0)).size * 8)
            return SecretKeyFactory.getInstance("PBKDF2With$mac").generateSecret(spec).encoded
        }

        companion object {
            fun of(mechanism: String): Scram? =
                mechanism.takeIf { it.startsWith("SCRAM-") }?.let { Scram(it.removePrefix("SCRAM-").removeSuffix("-PLUS")) }
        }
    }

    companion object {
        private val WRITES = setOf("write", "frame", "post")
        private val SERVER_PROOF = Regex("""\*server-proof\**""")
        private val CHALLENGE = Regex("""<challenge[^>]*>([^<*]+)</challenge>""")
        private val FIRST = Regex("""<auth(?:enticate)? [^>]*mechanism='([^']+)'[^>]*>(?:<initial-response>)?([A-Za-z0-9+/=]+)<""")
        private val RESPONSE = Regex("""<response[^>]*>([A-Za-z0-9+/=]+)</response>""")
        private val TOKEN = Regex("""<token [^>]*token='([^']+)'""")

        /** What the log leaves out of what a client says. */
        private val CLIENT_SECRET = Regex("""\*(?:client-proof|password|access-token|salted-password)\**""")

        fun leavesOut(log: List<String>): Boolean = log.any { CLIENT_SECRET in it || SERVER_PROOF in it }

        /** [got] with the placeholders of [expected], where these stand for base64 of the same length. */
        fun hideAs(expected: JsonElement, got: JsonElement): JsonElement = when {
            expected is JsonPrimitive && got is JsonPrimitive && expected.isString && expected.content == LEFT_OUT -> expected
            expected is JsonObject && got is JsonObject && expected.keys == got.keys ->
                JsonObject(expected.mapValues { (name, value) -> hideAs(value, got.getValue(name)) })
            expected is JsonPrimitive && got is JsonPrimitive && expected.isString && got.isString && expected.content.length == got.content.length ->
                JsonPrimitive(
                    CLIENT_SECRET.findAll(expected.content).fold(got.content) { text, found ->
                        check(text.substring(found.range).all { it.isLetterOrDigit() || it in "+/=" }) { "no secret where the log has one" }
                        text.replaceRange(found.range, found.value)
                    },
                )
            else -> got
        }

        private fun mapText(value: JsonElement, change: (String) -> String): JsonElement = when (value) {
            is JsonObject -> JsonObject(value.mapValues { mapText(it.value, change) })
            is JsonArray -> JsonArray(value.map { mapText(it, change) })
            is JsonNull -> value
            is JsonPrimitive -> if (value.isString) JsonPrimitive(change(value.content)) else value
        }

        private fun decode(text: String): ByteArray = Base64.getDecoder().decode(text)

        private fun hmac(algorithm: String, key: ByteArray, bytes: ByteArray): ByteArray =
            Mac.getInstance(algorithm).apply { init(SecretKeySpec(key, algorithm)) }.doFinal(bytes)

        private fun ByteArray.endsWith(end: ByteArray) = size >= end.size && copyOfRange(size - end.size, size).contentEquals(end)
    }
}
