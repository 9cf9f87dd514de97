// The servers that the tests log in to: what the file says that EPODE_WORLD names, and the world's control port.
package im.epode.world

import im.epode.ClientBuilder
import im.epode.Tls
import java.io.File
import java.net.Socket
import java.nio.file.Path
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.junit.jupiter.params.provider.Arguments

/** One way to a server. */
enum class Way {
    STARTTLS,
    DIRECT_TLS,
    WEBSOCKET,
    BOSH,
    ;

    /** Acknowledges and resumes by XEP-0198. */
    val resumes: Boolean get() = this != BOSH
    val tcp: Boolean get() = this == STARTTLS || this == DIRECT_TLS
}

/** One server of the world. */
class Server(val name: String, private val json: JsonObject) {
    val password = Login(json.getValue("password").jsonObject)
    val other = Login(json.getValue("other").jsonObject)
    val certificate = Login(json.getValue("certificate").jsonObject)
    val expired = Login(json.getValue("expired").jsonObject)
    val websocket: String = json.text("websocket")

    /** The way there, and whom to trust. */
    fun way(builder: ClientBuilder, way: Way): ClientBuilder {
        builder.authorities(World.ca)
        return when (way) {
            Way.STARTTLS -> place("tcp").let { (host, port) -> builder.tcp(host, port, Tls.START_TLS) }
            Way.DIRECT_TLS -> place("direct_tls").let { (host, port) -> builder.tcp(host, port, Tls.DIRECT) }
            Way.WEBSOCKET -> builder.websocket(websocket)
            Way.BOSH -> builder.bosh(json.text("bosh"))
        }
    }

    fun place(kind: String): Pair<String, Int> =
        json.getValue(kind).jsonObject.let { Pair(it.text("host"), it.text("port").toInt()) }

    override fun toString(): String = name
}

/** What an account is proved by. */
class Login(private val json: JsonObject) {
    val jid: String = json.text("jid")
    val password: String get() = json.text("password")
    val cert: Path get() = Path.of(json.text("cert"))
    val key: Path get() = Path.of(json.text("key"))
    val p12: Path get() = Path.of(json.text("p12"))
    val p12Password: CharArray get() = json.text("p12_password").toCharArray()
}

object World {
    private val json: JsonObject = Json.parseToJsonElement(
        File(
            checkNotNull(System.getenv("EPODE_WORLD")) { "EPODE_WORLD names no world to log in to: run tests/run kotlin" },
        ).readText(),
    ).jsonObject

    val ca: Path = Path.of(json.text("ca"))
    val rogueCa: Path = Path.of(json.text("rogue_ca"))

    fun server(name: String): Server = Server(name, json.getValue("servers").jsonObject.getValue(name).jsonObject)

    /** Every way to the servers that every driver is tried with. */
    @JvmStatic
    fun all(): List<Arguments> =
        listOf("dev", "prosody-13").flatMap { name -> Way.entries.map { way -> Arguments.of(server(name), way) } }

    /** A command of the control port, and what it answers after `ok`. */
    fun control(command: String): String {
        val control = json.getValue("control").jsonObject
        Socket(control.text("host"), control.text("port").toInt()).use { socket ->
            socket.getOutputStream().write("$command\n".toByteArray())
            val answer = checkNotNull(socket.getInputStream().bufferedReader().readLine()) { "the world hung up at: $command" }
            check(answer == "ok" || answer.startsWith("ok ")) { "$command: $answer" }
            return answer.removePrefix("ok").trim()
        }
    }

    fun cut(server: Server) {
        control("cut ${server.name}")
    }

    /** Bytes that the server has sent to its clients so far. */
    fun bytesToClients(server: Server): Long =
        Json.parseToJsonElement(control("bytes ${server.name}")).jsonObject.text("to_client").toLong()

    fun violations(server: Server): List<String> =
        Json.parseToJsonElement(control("violations ${server.name}")).jsonArray.map { it.jsonPrimitive.content }
}

private fun JsonObject.text(name: String): String = getValue(name).jsonPrimitive.content
