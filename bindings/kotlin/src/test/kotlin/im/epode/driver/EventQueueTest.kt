// Several who wait for events, and some who stop waiting.
package im.epode.driver

import im.epode.Delivery
import im.epode.Event
import im.epode.Stage
import im.epode.world.bounded
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.launch
import kotlinx.coroutines.yield
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Test

class EventQueueTest {
    private val queue = EventQueue {}

    private fun event(number: Int): Event = Delivery(number.toLong(), Stage.QUEUED)

    /** All of it on one thread: both wait before the events come, and both events come before either goes on. */
    @Test
    fun `two who wait get an event each`() = bounded {
        coroutineScope {
            val takers = List(2) { async(start = CoroutineStart.UNDISPATCHED) { queue.take() } }
            repeat(2) { queue.put(event(it)) }
            assertEquals(setOf(event(0), event(1)), takers.awaitAll().toSet())
        }
    }

    @Test
    fun `who is cancelled when it is its turn leaves it to the next`() = bounded {
        coroutineScope {
            val first = launch(start = CoroutineStart.UNDISPATCHED) { queue.take() }
            val second = async(start = CoroutineStart.UNDISPATCHED) { queue.take() }
            queue.put(event(1))
            first.cancel()
            yield()
            assertEquals(event(1), second.await())
        }
    }

    @Test
    fun `all who wait see the end`() = bounded {
        coroutineScope {
            val takers = List(3) { async(start = CoroutineStart.UNDISPATCHED) { queue.take() } }
            queue.put(event(1))
            queue.end()
            assertEquals(listOf(event(1)), takers.awaitAll().filterNotNull())
            assertNull(queue.take())
        }
    }
}
