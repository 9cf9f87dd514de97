// Futures that are cancelled leave nothing behind.
package im.epode

import im.epode.world.Way
import im.epode.world.World
import java.util.concurrent.CancellationException
import java.util.concurrent.TimeUnit
import org.junit.jupiter.api.Assertions.assertInstanceOf
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout

@Timeout(value = 180, unit = TimeUnit.SECONDS)
class FutureClientTest {
    private fun account(): ClientBuilder {
        val dev = World.server("dev")
        return dev.way(Epode.builder(dev.password.jid), Way.STARTTLS).password(dev.password.password)
    }

    /** Before any coroutine of the login has run, and after it, when nobody else has the client. */
    @Test
    fun `a login that is cancelled leaves nobody online`() {
        for (later in listOf(false, true)) {
            val client = account().open()
            val login = whenOnline(client)
            if (later) assertInstanceOf(Online::class.java, client.futures().nextEvent().get())
            if (login.cancel(true)) {
                assertThrows(CancellationException::class.java) { login.get() }
            } else {
                // It was faster: then there is an owner.
                login.get().close()
            }
            assertInstanceOf(Offline::class.java, client.futures().events().last())
        }
    }

    @Test
    fun `who stops waiting for an event leaves it to the next one`() {
        account().open().futures().use { client ->
            val events = client.events().iterator()
            assertInstanceOf(Online::class.java, events.next())
            Thread.currentThread().interrupt()
            assertThrows(CancellationException::class.java) { events.hasNext() }
            assertTrue(Thread.interrupted())
            val token = client.sendMessage("bob@cert.localhost", "one event after the other").get()
            val next = client.nextEvent().get()
            assertTrue(next == Delivery(token, Stage.QUEUED), "$next")
        }
    }
}
