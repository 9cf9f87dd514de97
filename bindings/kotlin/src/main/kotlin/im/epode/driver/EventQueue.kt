// The events that wait for the application, and when they are too many to read on.
package im.epode.driver

import im.epode.Event
import im.epode.Stanza
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.channels.Channel

/** Any thread. No event is lost when a taker is cancelled: it leaves the queue only when it is handed out. */
internal class EventQueue(private val roomAgain: () -> Unit) {
    private val waiting = ArrayDeque<Event>()
    private var stanzas = 0
    private var ended = false

    /** Whether anybody has ever asked for an event: who has not will not make room either. */
    @Volatile
    var collected: Boolean = false
        private set
    private val news = Channel<Unit>(Channel.CONFLATED)

    fun put(event: Event) {
        synchronized(this) {
            if (ended) return
            waiting.addLast(event)
            if (event is Stanza) stanzas++
        }
        news.trySend(Unit)
    }

    /** Nothing follows. */
    fun end() {
        synchronized(this) { ended = true }
        news.trySend(Unit)
    }

    /** The next event, or null after the last one. */
    suspend fun take(): Event? {
        collected = true
        while (true) {
            var room = false
            var more = false
            val (event, over) = synchronized(this) {
                val event = waiting.removeFirstOrNull()
                if (event is Stanza && --stanzas == STANZAS / 2) room = true
                if (event != null && waiting.size == EVENTS / 2) room = true
                more = waiting.isNotEmpty() || ended
                Pair(event, ended && event == null)
            }
            if (room) roomAgain()
            // One token may stand for several events: whoever else waits has to see them, and the end, too.
            if (more) news.trySend(Unit)
            if (event != null) return event
            if (over) return null
            try {
                news.receive()
            } catch (error: CancellationException) {
                // It may have had the token already.
                news.trySend(Unit)
                throw error
            }
        }
    }

    fun waitingStanzas(): Int = synchronized(this) { stanzas }

    /** Whether to read from the server: not any more at so many stanzas, and again at half of them. */
    fun mayRead(reading: Boolean): Boolean =
        synchronized(this) { if (reading) stanzas < STANZAS else stanzas <= STANZAS / 2 }

    /** Whether the application may send: what it sends brings events too. */
    fun mayWrite(): Boolean = synchronized(this) { waiting.size < EVENTS }

    companion object {
        /** Stanzas that may wait for the application before nothing more is read. */
        const val STANZAS: Int = 1_000

        /** Events of all kinds that may wait before the application's own stanzas have to. */
        const val EVENTS: Int = 4_000
    }
}
