// One account, online until the application leaves.
package im.epode

import im.epode.driver.Actor
import im.epode.driver.answer
import im.epode.driver.refused
import im.epode.driver.same
import im.epode.engine.Input
import im.epode.engine.IqResult
import im.epode.engine.Refused
import im.epode.engine.Reply
import im.epode.engine.StanzaError
import im.epode.engine.StanzaErrorType
import im.epode.engine.chat
import java.time.Duration
import java.util.concurrent.CompletableFuture
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.future.future
import kotlinx.coroutines.selects.select
import kotlinx.coroutines.withContext
import kotlinx.coroutines.withTimeoutOrNull
import im.epode.engine.Credentials as EngineCredentials
import im.epode.engine.Network as EngineNetwork

/**
 * One account. Made by [Epode.connect]; every method may be called from any thread and any coroutine, and several at a time. It is used once:
 * after [Offline], connect again.
 */
public class Client internal constructor(private val actor: Actor) {
    init {
        actor.start()
    }

    /** The full JID, while online: after an interruption it may be another one. */
    public val jid: String? get() = actor.jid

    /** What the password became for this server, once it has logged in by SCRAM: for [ClientBuilder.scramKey], and as secret as that. A copy. */
    public val scramKey: ByteArray? get() = actor.scramKey?.copyOf()

    /** Why the session is over, once it is. */
    public val offline: Offline? get() = actor.ended

    /**
     * What happens: [Online] first, [Offline] last. Each event is given once: collect it in one place. Collecting may stop and go on, and loses
     * nothing; what was not collected waits. An operator that fetches ahead (`buffer`, `flowOn`, `shareIn`, `produceIn`) takes events that nobody gets
     * when it is cancelled. If 1,000 stanzas wait, nothing more is read from the server until half of them are taken.
     *
     * Collect them also where you only send: each stanza brings [Delivery] events, and when 4,000 events wait, sending waits too.
     */
    public val events: Flow<Event> = flow { while (true) emit(nextEvent() ?: break) }

    /** The next event, or null after the last one. */
    public suspend fun nextEvent(): Event? = actor.events.take()

    /**
     * Sends a chat message. The token names it in [Delivery] events. Waits while too much waits to be sent, or too many [events] to be taken. Where
     * nobody has ever taken one, that would be for ever: it throws an [EpodeException] that says so, and nothing was sent.
     */
    public suspend fun sendMessage(to: String, text: String): Long {
        val xml = try {
            chat(to, text)
        } catch (refused: Refused) {
            throw refused(refused)
        }
        return actor.send(Input.Send(xml)).toLong()
    }

    /** Sends a `<message/>` or `<presence/>`; one without a namespace is in `jabber:client`. As [sendMessage]. */
    public suspend fun send(xml: String): Long = actor.send(Input.Send(xml.encodeToByteArray())).toLong()

    /**
     * Sends an `<iq/>` of type `get` or `set` and waits for its answer, by default for 60 seconds. Its `id` is replaced by one that nobody can guess.
     * Cancelling cancels the request.
     *
     * Throws [RequestFailedException] for an error of the entity's, [RequestTimedOutException], or [NotOnlineException] where the session ended first:
     * whether the request was handled is not known then.
     */
    public suspend fun request(xml: String, timeout: Duration? = null): Answer {
        val wait = timeout?.toMillis()?.coerceAtLeast(0)?.toULong()
        return when (val result = actor.request(Input.Request(xml.encodeToByteArray(), wait))) {
            is IqResult.Answer -> answer(result.iq)
            is IqResult.Error -> throw result.error.let {
                RequestFailedException(it.condition, it.kind.name.lowercase(), it.text)
            }
            IqResult.Timeout -> throw RequestTimedOutException()
            IqResult.Disconnected, IqResult.Cancelled ->
                throw NotOnlineException("the session ended before the answer came: whether the request was handled is not known")
        }
    }

    /**
     * Answers a request with a `result`, and the payload (XML) if there is one. Throws [NotOnlineException] where that is too late: the request was
     * answered already, or the session that it came in is over.
     */
    public suspend fun respond(request: Request, payload: String? = null): Unit =
        reply(request, Reply.Result(payload?.encodeToByteArray()))

    /** As [respond], with an error (RFC 6120 §8.3.3). [type] is one of auth, cancel, continue, modify, wait. */
    public suspend fun refuse(
        request: Request,
        condition: String = "service-unavailable",
        type: String = "cancel",
        text: String? = null,
    ) {
        val kind = StanzaErrorType.entries.find { it.name.equals(type, ignoreCase = true) }
            ?: throw InvalidStanzaException("\"$type\" is not one of auth, cancel, continue, modify, wait")
        reply(request, Reply.Error(StanzaError(kind, condition, text)))
    }

    /** From the next login on this is the password: after an interruption for example. It must be for the same account. */
    public suspend fun providePassword(password: String): Unit =
        tell(Input.Provide(EngineCredentials.Password(password.encodeToByteArray())))

    /** From the next login on this is the access token. It must be for the same account. */
    public suspend fun provideAccessToken(token: String): Unit =
        tell(Input.Provide(EngineCredentials.AccessToken(token.encodeToByteArray())))

    /** The network came, went, or became another one: a device is told so by its system. */
    public suspend fun network(network: Network): Unit = tell(Input.Network(same<EngineNetwork>(network)))

    /** Whether somebody looks at the application: a server holds back what can wait while nobody does (XEP-0352). */
    public suspend fun foreground(foreground: Boolean): Unit = tell(Input.Foreground(foreground))

    /** The device is about to sleep for at most so long. Returns when everything is stored and under way. */
    public suspend fun pause(atMost: Duration): Unit =
        tell(Input.Pause(atMost.toSeconds().coerceIn(0, UInt.MAX_VALUE.toLong()).toUInt()))

    /**
     * Says goodbye and closes the connections, within 15 seconds; events that were not read yet can still be. Doing it twice is harmless. It is done
     * also where the caller is cancelled.
     */
    public suspend fun close(): Unit = withContext(NonCancellable) {
        try {
            tell(Input.Stop)
        } catch (_: NotOnlineException) {
            // It is over.
        }
        if (withTimeoutOrNull(GOODBYE) { actor.gone.await() } == null) actor.cancel()
        actor.gone.await()
    }

    /** Runs [block], and closes the client afterwards, whatever happens. */
    public suspend inline fun <R> use(block: (Client) -> R): R {
        try {
            return block(this)
        } finally {
            close()
        }
    }

    /** The same client with futures instead of suspend functions. */
    public fun futures(): FutureClient = FutureClient(this)

    /** Names the account, and nothing else. */
    override fun toString(): String = "Client(${jid ?: "offline"})"

    /** Stanzas that wait for the application. */
    internal fun waitingStanzas(): Int = actor.events.waitingStanzas()

    internal suspend fun untilOnline() {
        var online = false
        try {
            online = select {
                actor.online.onAwait { true }
                actor.offline.onAwait { false }
            }
        } finally {
            // Cancelled in the middle of a login: the server may hold half a session.
            if (!online) close()
        }
        if (online) return
        val reason = actor.offline.await()
        throw actor.failed?.let { WentOfflineException(reason, it) } ?: wentOffline(reason)
    }

    internal fun <T> future(work: suspend () -> T): CompletableFuture<T> = CoroutineScope(Dispatchers.Default).future { work() }

    private suspend fun reply(request: Request, reply: Reply) = actor.call { actor.respond(request.token.toULong(), reply) }

    private suspend fun tell(input: Input) {
        actor.call { actor.tell(input) }
    }

    private companion object {
        /** Longer than the engine waits for the server's part of the goodbye (5 s) and the driver for its connections (3 s). */
        val GOODBYE = 10.seconds
    }
}
