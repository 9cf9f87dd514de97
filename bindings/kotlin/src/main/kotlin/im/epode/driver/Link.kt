// What the actor holds of a link, whatever carries it.
package im.epode.driver

import im.epode.engine.ChannelBindings
import im.epode.engine.Failure
import im.epode.engine.Input
import im.epode.engine.LinkInfo
import im.epode.engine.TlsFacts
import im.epode.engine.Verified
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.job
import kotlinx.coroutines.launch
import kotlinx.coroutines.withTimeoutOrNull

/** What a `Connect` says, but for the endpoint. */
internal class Opening(val serverName: String, val identity: Identity?, val maxMessage: ULong, val tls: LinkTls)

/** The way from a link to the engine. All but [written] wait until the engine has dealt with it, and all that it asked for is under way. */
internal interface Wire {
    suspend fun received(bytes: ByteArray, length: Int)

    suspend fun responded(request: ULong, status: Int, body: ByteArray, tls: TlsFacts?)

    suspend fun connected(info: LinkInfo)

    suspend fun ended()

    suspend fun failed(reason: Failure, request: ULong? = null)

    fun written(bytes: Int)
}

/** The orders come from the actor, one at a time. What a kind of link does not have, the engine does not ask of it. */
internal abstract class Link(protected val wire: Wire, parent: Job) {
    private val job = SupervisorJob(parent)
    protected val scope: CoroutineScope = CoroutineScope(job + Dispatchers.Default)
    private val readable = MutableStateFlow(true)

    /** The engine has closed it: what still arrives is nobody's. */
    @Volatile
    protected var closing: Boolean = false
        private set

    open fun write(bytes: ByteArray) {}

    open fun frame(text: String) {}

    open fun startTls(serverName: String) {}

    open fun post(request: ULong, body: ByteArray) {}

    open fun abandon(request: ULong) {}

    /** Whether more may be read: a slow application stops it. */
    fun reading(reading: Boolean) {
        readable.value = reading || closing
    }

    /** Flushes and says goodbye, for [FLUSH] at most, then is gone. */
    fun close() {
        closing = true
        readable.value = true
        scope.launch {
            withTimeoutOrNull(FLUSH) { goodbye() }
            abort()
        }
    }

    /** Is gone now, from any thread. Twice is harmless. */
    fun abort() {
        scope.cancel()
        release()
    }

    /** Until nothing of it is left. */
    suspend fun join(): Unit = scope.coroutineContext.job.join()

    /** What is to be done after [close]; it may be cut short. */
    protected abstract suspend fun goodbye()

    /** Closes what the operating system holds for it; that also ends what blocks on it. */
    protected abstract fun release()

    /** Runs the life of the link, and tells the engine how it failed. */
    protected fun live(life: suspend () -> Unit): Job = scope.launch {
        try {
            life()
        } catch (error: CancellationException) {
            throw error
        } catch (error: Throwable) {
            // An Error too, a class that is missing for example: the engine would wait for the link.
            if (!closing) wire.failed(failureOf(error))
        }
    }

    /** Waits while the application is slow. */
    protected suspend fun untilReadable() {
        readable.first { it }
    }

    companion object {
        /** How long the last bytes and the peer's own goodbye may take. */
        val FLUSH: Duration = 2.seconds

        /** Bytes that wait for one peer to take them (32 MiB). The engine refuses the application's stanzas long before; its answers to a
         * peer that asks and asks and never reads have nowhere else to wait. */
        const val MAX_QUEUED: Long = 32L * 1024 * 1024

        /** Why a link ends whose peer takes nothing. */
        val TAKES_NOTHING: Failure = Failure.Other("the server takes nothing of what is sent to it")
    }
}

/** What the engine is told of a link: one where nothing was [seen] has no TLS. */
internal fun info(seen: Seen?, serverName: String, alpn: String? = null, subprotocol: String? = null, bosh: Boolean = false): LinkInfo {
    if (seen == null) return LinkInfo(encrypted = false, verified = Verified.No, subprotocol = subprotocol)
    return LinkInfo(
        encrypted = true,
        verified = Verified.Host(serverName),
        tlsVersion = seen.version,
        clientCertificateRequested = seen.clientCertificateRequested,
        clientCertificate = seen.clientCertificate,
        alpn = alpn,
        subprotocol = subprotocol,
        channelBindings = ChannelBindings(
            // Requests go over several connections, which have no more in common than the certificate.
            tlsExporter = if (bosh) null else seen.exporter,
            tlsServerEndPoint = seen.serverEndPoint,
        ),
    )
}
