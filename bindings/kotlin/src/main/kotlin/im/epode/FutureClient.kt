// The client for Java: futures instead of suspend functions.
package im.epode

import java.time.Duration
import java.util.concurrent.CompletableFuture
import kotlinx.coroutines.runBlocking

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

    /** [Client.nextEvent]: completed with null after the last event. */
    public fun nextEvent(): CompletableFuture<Event?> = client.future { client.nextEvent() }

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
    public fun respond(request: Request, payload: String? = null): CompletableFuture<Unit> =
        client.future { client.respond(request, payload) }

    /** [Client.refuse]. */
    @JvmOverloads
    public fun refuse(
        request: Request,
        condition: String = "service-unavailable",
        type: String = "cancel",
        text: String? = null,
    ): CompletableFuture<Unit> = client.future { client.refuse(request, condition, type, text) }

    /** [Client.providePassword]. */
    public fun providePassword(password: String): CompletableFuture<Unit> = client.future { client.providePassword(password) }

    /** [Client.provideAccessToken]. */
    public fun provideAccessToken(token: String): CompletableFuture<Unit> = client.future { client.provideAccessToken(token) }

    /** [Client.network]. */
    public fun network(network: Network): CompletableFuture<Unit> = client.future { client.network(network) }

    /** [Client.foreground]. */
    public fun foreground(foreground: Boolean): CompletableFuture<Unit> = client.future { client.foreground(foreground) }

    /** [Client.pause]. */
    public fun pause(atMost: Duration): CompletableFuture<Unit> = client.future { client.pause(atMost) }

    /** [Client.close]. */
    public fun closeAsync(): CompletableFuture<Unit> = client.future { client.close() }

    /** [Client.close], waiting for it: 15 seconds at most. For `try (...)`. */
    override fun close(): Unit = runBlocking { client.close() }

    /** The same client with suspend functions. */
    public fun coroutines(): Client = client

    override fun toString(): String = client.toString()
}
