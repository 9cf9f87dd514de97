// The client for Java: futures instead of suspend functions.
package im.epode

import java.time.Duration
import java.util.concurrent.CancellationException
import java.util.concurrent.CompletableFuture
import java.util.concurrent.ConcurrentLinkedQueue
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.DelicateCoroutinesApi
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.launch

/**
 * A [Client] with futures. Every method may be called from any thread. A future fails with what the method of [Client] throws; cancelling it is
 * cancelling that.
 */
public class FutureClient internal constructor(private val client: Client) : AutoCloseable {
    /** [Client.jid]. */
    public val jid: String? get() = client.jid

    /** [Client.scramKey]. */
    public val scramKey: ByteArray? get() = client.scramKey

    /** [Client.offline]. */
    public val offline: Offline? get() = client.offline

    /** Futures of events that somebody stopped waiting for: they are the first to get one, and nothing is lost. */
    private val leftOver = ConcurrentLinkedQueue<CompletableFuture<Event?>>()

    /** [Client.nextEvent]: completed with null after the last event. An event that comes while this is cancelled may be lost: use [events]. */
    public fun nextEvent(): CompletableFuture<Event?> = leftOver.poll() ?: client.future { client.nextEvent() }

    /**
     * [Client.events], for a thread of its own: `for (Event event : client.events())` waits for each, and ends after [Offline]. A loop that is left may
     * be begun again, and loses nothing. A thread that is interrupted while it waits gets a [CancellationException], and stays interrupted.
     */
    public fun events(): Iterable<Event> = Iterable {
        object : AbstractIterator<Event>() {
            override fun computeNext() {
                val event = waitFor(nextEvent())
                if (event == null) done() else setNext(event)
            }
        }
    }

    /** [Client.sendMessage]. */
    public fun sendMessage(to: String, text: String): CompletableFuture<Long> = client.future { client.sendMessage(to, text) }

    /** [Client.send]. */
    public fun send(xml: String): CompletableFuture<Long> = client.future { client.send(xml) }

    /** [Client.request]. */
    @JvmOverloads
    public fun request(xml: String, timeout: Duration? = null): CompletableFuture<Answer> =
        client.future { client.request(xml, timeout) }

    /** [Client.respond]. */
    @JvmOverloads
    public fun respond(request: Request, payload: String? = null): CompletableFuture<Void?> = nothing { client.respond(request, payload) }

    /** [Client.refuse]. */
    @JvmOverloads
    public fun refuse(
        request: Request,
        condition: String = "service-unavailable",
        type: String = "cancel",
        text: String? = null,
    ): CompletableFuture<Void?> = nothing { client.refuse(request, condition, type, text) }

    /** [Client.providePassword]. */
    public fun providePassword(password: String): CompletableFuture<Void?> = nothing { client.providePassword(password) }

    /** [Client.provideAccessToken]. */
    public fun provideAccessToken(token: String): CompletableFuture<Void?> = nothing { client.provideAccessToken(token) }

    /** [Client.network]. */
    public fun network(network: Network): CompletableFuture<Void?> = nothing { client.network(network) }

    /** [Client.foreground]. */
    public fun foreground(foreground: Boolean): CompletableFuture<Void?> = nothing { client.foreground(foreground) }

    /** [Client.pause]. */
    public fun pause(atMost: Duration): CompletableFuture<Void?> = nothing { client.pause(atMost) }

    /** [Client.close]. */
    public fun closeAsync(): CompletableFuture<Void?> = nothing { client.close() }

    /** [Client.close], waiting for it: 15 seconds at most. For `try (...)`. A thread that is interrupted waits too, and stays interrupted. */
    override fun close() {
        val closed = closeAsync()
        var interrupted = false
        while (true) {
            try {
                closed.get()
                break
            } catch (_: InterruptedException) {
                interrupted = true
            }
        }
        if (interrupted) Thread.currentThread().interrupt()
    }

    /** The same client with suspend functions. */
    public fun coroutines(): Client = client

    override fun toString(): String = client.toString()

    private fun nothing(work: suspend () -> Unit): CompletableFuture<Void?> = client.future {
        work()
        null
    }

    private fun waitFor(future: CompletableFuture<Event?>): Event? = try {
        future.get()
    } catch (interrupt: InterruptedException) {
        // Cancelling it could lose an event that comes at this moment.
        leftOver.add(future)
        Thread.currentThread().interrupt()
        throw CancellationException("the thread was interrupted while it waited for an event").initCause(interrupt)
    }
}

/**
 * Completed when [client] is online. Whoever cancels it closes the client, whenever that comes: before the coroutine runs, and after the login,
 * when the client has no other owner.
 */
@OptIn(DelicateCoroutinesApi::class)
internal fun whenOnline(client: Client): CompletableFuture<FutureClient> {
    val result = CompletableFuture<FutureClient>()
    // What is cancelled before it has begun would close nothing.
    val login = CoroutineScope(Dispatchers.Default).launch(start = CoroutineStart.ATOMIC) {
        try {
            client.untilOnline()
            if (!result.complete(FutureClient(client))) client.close()
        } catch (error: Exception) {
            result.completeExceptionally(error)
        }
    }
    result.whenComplete { _, _ -> if (result.isCancelled) login.cancel() }
    return result
}
