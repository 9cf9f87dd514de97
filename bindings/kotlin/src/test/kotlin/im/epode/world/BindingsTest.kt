// Which channel bindings the engine is given: as bindings/channel-bindings/kotlin.json says, no more and no less.
package im.epode.world

import im.epode.ClientBuilder
import im.epode.Policy
import java.nio.file.Path
import kotlin.io.path.readText
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

class BindingsTest {
    @Test
    fun `each login has the channel bindings that the table says`() = bounded {
        val drivers = Json.parseToJsonElement(Path.of("../channel-bindings/kotlin.json").readText()).jsonObject
            .getValue("drivers").jsonArray.map { it.jsonObject }
        // What this JVM is decides which of the two tables is its own.
        val driver = drivers.single { driver ->
            val old = driver.getValue("stack").jsonPrimitive.content.startsWith("JDK 17 to 24")
            old == (Runtime.version().feature() < 25)
        }
        val expected = driver.getValue("rows").jsonArray.map { it.jsonObject }.associate { row ->
            Pair(row.getValue("transport").jsonPrimitive.content, row.getValue("tls").jsonPrimitive.content) to
                row.getValue("bindings").jsonArray.map { it.jsonPrimitive.content }
        }
        val seen = HashMap<Pair<String, String>, List<String>>()
        for (way in Way.entries) {
            for (version in listOf("1.3", "1.2")) {
                val transport = if (way.tcp) "tcp" else way.name.lowercase()
                val given = given(way, version)
                // STARTTLS and direct TLS are one row.
                assertEquals(seen.getOrPut(Pair(transport, version)) { given }, given, "$way $version")
            }
        }
        assertEquals(expected, seen)
    }

    /** The names of what the driver gave for a login by that version of TLS. */
    private suspend fun given(way: Way, version: String): List<String> {
        val server = World.server("dev")
        val builder: ClientBuilder = im.epode.Epode.builder(server.password.jid)
        server.way(builder, way).password(server.password.password).policy(Policy())
        builder.protocols = arrayOf("TLSv$version")
        val infos = mutableListOf<im.epode.engine.LinkInfo>()
        builder.seen = { infos += it }
        builder.open().use { it.untilOnline() }
        val info = infos.last()
        // BOSH is told of the connection that was looked at.
        assertEquals(version, info.tlsVersion)
        val bindings = info.channelBindings!!
        return listOfNotNull(
            "tls-exporter".takeIf { bindings.tlsExporter != null },
            "tls-unique".takeIf { bindings.tlsUnique != null },
            "tls-server-end-point".takeIf { bindings.tlsServerEndPoint != null },
        )
    }
}
