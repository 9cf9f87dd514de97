// The examples run, and the README shows one of them.
package im.epode.world

import im.epode.Message
import im.epode.examples.noteToMyself
import java.nio.file.Path
import java.util.UUID
import kotlin.io.path.readLines
import kotlin.io.path.readText
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.flow.filterIsInstance
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.withContext
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class ExamplesTest {
    private val server = World.server("prosody-13")

    @Test
    fun `the README shows what was tried`() = bounded {
        val shown = Path.of("README.md").readText().substringAfter("```kotlin\n").substringBefore("```")
        val tried = Path.of("examples/FiveMinutes.kt").readText().substringAfter("package im.epode.examples\n\n")
        assertEquals(tried, shown)
        val login = World.server("dev").certificate
        val note = noteToMyself(login.jid, World.server("dev").websocket, login.p12, login.p12Password, World.ca)
        assertEquals("A note to myself", note)
    }

    @Test
    fun `the echo bot answers, in forty lines`() = bounded {
        assertTrue(Path.of("examples/EchoBot.kt").readLines().size <= 40)
        val login = server.certificate
        val java = Path.of(System.getProperty("java.home"), "bin", "java").toString()
        val command = listOf(
            java, "-cp", System.getProperty("java.class.path"), "im.epode.examples.EchoBotKt",
            login.jid, server.websocket, login.p12.toString(), World.ca.toString(),
        )
        val builder = ProcessBuilder(command).redirectErrorStream(true)
        builder.environment()["EPODE_PASSPHRASE"] = String(login.p12Password)
        val bot = withContext(Dispatchers.IO) { builder.start() }
        try {
            val first = withContext(Dispatchers.IO) { bot.inputReader().readLine() }.orEmpty()
            assertTrue(first.startsWith("online as "), first)
            byPassword(server, Way.STARTTLS).use { client ->
                val text = UUID.randomUUID().toString()
                client.sendMessage(first.removePrefix("online as "), text)
                client.events.filterIsInstance<Message>().first { it.body == text }
            }
        } finally {
            bot.destroy()
            withContext(Dispatchers.IO) { bot.waitFor() }
        }
    }
}
