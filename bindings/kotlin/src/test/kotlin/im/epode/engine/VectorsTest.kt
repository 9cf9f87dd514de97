// The vectors that concern what crosses: addresses of the configuration, and SCRAM's slow step with its key.
package im.epode.engine

import java.util.Base64
import kotlin.io.path.readText
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.boolean
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.TestFactory

class VectorsTest {
    @TestFactory
    fun `addresses`(): List<DynamicTest> {
        val vectors = vectors("jid.json")
        val valid = vectors.at("valid").jsonArray.map { it.jsonObject }.map { vector ->
            val (address, prepared) = vector.text("in") to vector.text("out")
            dynamicTest("'$address' is '$prepared'") { assertEquals(prepared, prepared(address)) }
        }
        val invalid = vectors.at("invalid").jsonArray.map { it.jsonObject }.map { vector ->
            dynamicTest("'${vector.text("in")}' is no JID") {
                val refused = assertThrows(Refused.Jid::class.java) { prepared(vector.text("in")) }
                vector.maybeText("error")?.let { assertEquals(it, refused.why) }
            }
        }
        val lengths = vectors.at("lengths").jsonArray.map { it.jsonObject }.map { vector ->
            val long = vector.text("repeat").repeat(vector.number("times").toInt())
            val address = when (val part = vector.text("part")) {
                "local" -> "$long@example.com"
                "domain" -> long
                "resource" -> "x@example.com/$long"
                else -> throw AssertionError("a part named $part")
            }
            dynamicTest("a ${vector.text("part")} of ${vector.number("octets")} octets") {
                if (vector.flag("valid", false)) prepared(address) else assertThrows(Refused.Jid::class.java) { prepared(address) }
            }
        }
        val distinct = vectors.at("distinct").jsonArray.map { it.texts() }.map { (one, other) ->
            dynamicTest("'$one' is not '$other'") { assertTrue(prepared(one) != prepared(other)) }
        }
        assertTrue(valid.size > 40 && invalid.size > 40 && lengths.isNotEmpty() && distinct.isNotEmpty())
        return valid + invalid + lengths + distinct
    }

    @TestFactory
    fun `keys of SCRAM`(): List<DynamicTest> {
        val exchanges = vectors("scram.json").at("exchanges").jsonArray.map { it.jsonObject }
        assertTrue(exchanges.size > 10)
        return exchanges.map { vector -> dynamicTest(vector.text("name")) { key(vector) } }
    }

    /** The address as the client writes it: the account in the header of its stream, the resource where it asks to be bound to it. */
    private fun prepared(address: String): String {
        val server = '@' !in address.substringBefore('/')
        val credentials = if (server) Credentials.Anonymous else Credentials.Certificate("a label", null)
        return Client(Config(jid = address, credentials = credentials, transports = TCP), SEED()).use { client ->
            val header = connected(client)
            val mechanism = if (server) "ANONYMOUS" else "EXTERNAL"
            heard(client, OPEN + features("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>$mechanism</mechanism></mechanisms>"))
            heard(client, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
            val bind = written(heard(client, OPEN + features("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>")))
            assertTrue("<bind " in bind, "no request to be bound: $bind")
            val account = header.between(if (server) " to='" else " from='", "'")!!
            unescaped(account) + bind.between("<resource>", "</resource>")?.let { "/" + unescaped(it) }.orEmpty()
        }
    }

    private fun String.between(start: String, end: String): String? = if (start in this) substringAfter(start).substringBefore(end) else null

    private fun unescaped(text: String): String =
        text.replace("&lt;", "<").replace("&gt;", ">").replace("&apos;", "'").replace("&quot;", "\"").replace("&amp;", "&")

    private fun features(what: String): String = "<stream:features>$what</stream:features>"

    private fun heard(client: Client, text: String): List<Output> = client.received(20uL, 1uL, direct(text.toByteArray())).outputs

    /** Leads a client to where it asks its host for the key of this exchange, and derives it in both ways. */
    private fun key(vector: JsonObject) {
        val mechanism = vector.text("mechanism").removeSuffix("-PLUS")
        val password = vector.text("password")
        val (salt, count) = vector.text("server_first").split(",").drop(1).let { it[0].removePrefix("s=") to it[1].removePrefix("i=") }
        val config = Config(
            jid = "user@example.org", credentials = Credentials.Password(password.toByteArray()), transports = TCP,
            mechanisms = Mechanisms(scramMin = 1u, sasl2 = false), keyDerivation = KeyDerivation.HOST,
        )
        Client(config, SEED()).use { client ->
            connected(client)
            val offer = features("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>$mechanism</mechanism></mechanisms>")
            val auth = written(heard(client, OPEN + offer))
            val first = String(Base64.getDecoder().decode(auth.substringAfter(">").substringBefore("<")))
            val challenge = Base64.getEncoder().encodeToString("r=${first.substringAfter("r=")}server,s=$salt,i=$count".toByteArray())
            val asked = heard(client, "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>$challenge</challenge>")
            val job = asked.filterIsInstance<Output.DeriveKey>().single()
            job.derivation.use { derivation ->
                assertEquals(mechanism.removePrefix("SCRAM-").replace("-", ""), derivation.hash().name)
                assertEquals(count.toUInt(), derivation.iterations())
                assertArrayEquals(Base64.getDecoder().decode(salt), derivation.salt())
                derivation.run().use { key -> check(vector, derivation, key) }
                // With the key the login goes on: the client proves that it has it.
                val proof = derivation.run().use { client.handle(40uL, Input.Derived(job.job, it)) }
                assertTrue("<response" in written(proof.outputs))
            }
        }
    }

    private fun check(vector: JsonObject, derivation: Derivation, key: DerivedKey) {
        val bytes = key.toBytes()
        val shown = bytes.joinToString("") { "%02x".format(it) }
        for (part in listOf("client_key", "server_key")) vector.maybeText(part)?.let { assertTrue(it in shown, "the $part") }
        DerivedKey.fromBytes(direct(bytes)).use { assertArrayEquals(bytes, it.toBytes()) }
        vector.maybeText("salted_password")?.let { salted ->
            val known = salted.chunked(2).map { it.toInt(16).toByte() }.toByteArray()
            derivation.withSaltedPassword(direct(known)).use { assertArrayEquals(bytes, it.toBytes()) }
            assertThrows(Refused.Key::class.java) { derivation.withSaltedPassword(direct(known.copyOf(7))) }
        }
        assertThrows(Refused.Key::class.java) { DerivedKey.fromBytes(direct(bytes.copyOf(bytes.size - 1))) }
        assertTrue(shown !in key.toString() && vector.text("password") !in derivation.toString())
    }

    private fun connected(client: Client): String {
        val connect = client.handle(0uL, Input.Start).outputs.filterIsInstance<Output.Connect>().single()
        val info = LinkInfo(encrypted = true, verified = Verified.Host(connect.serverName))
        return written(client.handle(10uL, Input.Connected(connect.link, info)).outputs)
    }

    private fun written(outputs: List<Output>): String =
        outputs.filterIsInstance<Output.Write>().joinToString("") { it.bytes.decodeToString() }

    private fun vectors(name: String): JsonObject = parse(ReplayTest.REPOSITORY.resolve("tests/vectors/$name").readText())

    companion object {
        private val SEED = { direct(ByteArray(32) { it.toByte() }) }
        private val TCP = listOf(Transport.Tcp("localhost", 5223u, TcpTls.DIRECT))
        private const val OPEN = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' " +
            "version='1.0' id='s'>"
    }
}
