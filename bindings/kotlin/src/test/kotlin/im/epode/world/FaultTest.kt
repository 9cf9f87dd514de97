// What the driver says where an application, or the driver itself, does what it should not.
package im.epode.world

import im.epode.Blame
import im.epode.Epode
import im.epode.EpodeException
import im.epode.WentOfflineException
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows

class FaultTest {
    private val server = World.server("dev")

    /** As where a class is missing: it is no Exception, and would otherwise be seen by nobody. */
    @Test
    fun `an Error in the driver ends the session, and is named`() = bounded {
        val builder = server.way(Epode.builder(server.password.jid), Way.DIRECT_TLS).password(server.password.password)
        builder.seen = { throw NoClassDefFoundError("im/epode/Missing") }
        val error = assertThrows<WentOfflineException> { runBlocking { builder.open().use { it.untilOnline() } } }
        assertEquals(Blame.INTERNAL, error.reason.blame)
        assertTrue("im/epode/Missing" in error.message!!, error.message)
    }

    @Test
    fun `who sends and never collects is told so`() = bounded {
        byPassword(server, Way.DIRECT_TLS).use { client ->
            val error = assertThrows<EpodeException> {
                runBlocking { repeat(5_000) { client.sendMessage(server.other.jid, "number $it") } }
            }
            assertTrue("collect" in error.message!!, error.message)
        }
    }
}
