// One WebSocket link (RFC 6455, RFC 7395): text messages in both directions, until somebody ends it.
package im.epode.driver

import java.net.URI
import java.net.http.WebSocket
import java.util.concurrent.CompletionStage
import java.util.concurrent.atomic.AtomicLong
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.Job
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch

internal class WebSocketLink(wire: Wire, parent: Job, private val opening: Opening, private val url: String) : Link(wire, parent) {
    private val http = Http(opening.tls)
    private val incoming = Channel<ByteArray>(Channel.UNLIMITED)
    private val orders = Channel<String>(Channel.UNLIMITED)
    private val queued = AtomicLong()

    @Volatile
    private var socket: WebSocket? = null

    @Volatile
    private var writer: Job? = null
    private val reader = live { connect() }

    override fun frame(text: String) {
        if (queued.addAndGet(text.length.toLong()) > MAX_QUEUED) {
            orders.close()
            scope.launch {
                wire.failed(TAKES_NOTHING)
                abort()
            }
            return
        }
        orders.trySend(text)
    }

    override suspend fun goodbye() {
        orders.close()
        // Still connecting: there is nobody to say goodbye to.
        val writer = writer ?: return
        writer.join()
        reader.join()
    }

    override fun release() {
        orders.close()
        incoming.close()
        socket?.abort()
        http.close()
    }

    private suspend fun connect() {
        val opened = wait(
            http.client.newWebSocketBuilder().subprotocols(SUBPROTOCOL).buildAsync(URI.create(url), Listener()),
        )
        socket = opened
        val seen = if (url.startsWith("wss:", ignoreCase = true)) opening.tls.seen() else null
        writer = scope.launch { write(opened) }
        wire.connected(info(seen, opening.serverName, subprotocol = opened.subprotocol.ifEmpty { null }))
        opened.request(1)
        for (message in incoming) {
            untilReadable()
            if (!closing) wire.received(message, message.size)
            // One at a time: until then the server's next one waits in the connection.
            opened.request(1)
        }
        if (!closing) wire.ended()
    }

    private suspend fun write(socket: WebSocket) {
        for (text in orders) {
            try {
                wait(socket.sendText(text, true))
            } catch (error: CancellationException) {
                throw error
            } catch (error: Exception) {
                // Not of I/O only: java.net.http says of a text, or of a moment, that it does not do.
                return lastWords(error)
            }
            queued.addAndGet(-text.length.toLong())
            wire.written(text.encodeToByteArray().size)
        }
        // Closed. RFC 7395 §3.6: the stream is closed by now.
        try {
            wait(socket.sendClose(WebSocket.NORMAL_CLOSURE, ""))
        } catch (error: CancellationException) {
            throw error
        } catch (_: Exception) {
            // The peer was faster.
        }
    }

    /** Why it cannot be written is for the reader to find out, for a while: a server that ends a stream says why first. */
    private suspend fun lastWords(error: Exception) {
        if (closing) return
        delay(LAST_WORDS)
        if (!reader.isActive) return
        wire.failed(failureOf(error))
        release()
    }

    /** Called by java.net.http, one call at a time, and not before it was asked for. */
    private inner class Listener : WebSocket.Listener {
        private val text = StringBuilder()

        override fun onOpen(webSocket: WebSocket) {
            // Nothing is asked for before the engine knows of the connection.
        }

        override fun onText(webSocket: WebSocket, data: CharSequence, last: Boolean): CompletionStage<*>? {
            if ((text.length + data.length).toULong() > opening.maxMessage) return refuse(TOO_LARGE)
            text.append(data)
            if (!last) {
                webSocket.request(1)
                return null
            }
            val message = text.toString().encodeToByteArray()
            // A long message does not stay for the life of the connection.
            text.setLength(0)
            if (text.capacity() > KEPT) text.trimToSize()
            if (message.size.toULong() > opening.maxMessage) return refuse(TOO_LARGE)
            incoming.trySend(message)
            return null
        }

        override fun onBinary(webSocket: WebSocket, data: java.nio.ByteBuffer, last: Boolean): CompletionStage<*>? =
            refuse("the server sent a binary message, which XMPP has no use for")

        /** java.net.http answers with a close of its own when this returns. */
        override fun onClose(webSocket: WebSocket, statusCode: Int, reason: String): CompletionStage<*>? {
            incoming.close()
            return null
        }

        override fun onError(webSocket: WebSocket, error: Throwable) {
            incoming.close(error)
        }

        private fun refuse(why: String): CompletionStage<*>? {
            text.setLength(0)
            incoming.close(Unwanted(why))
            return null
        }
    }

    private companion object {
        /** RFC 7395 §3.1. */
        const val SUBPROTOCOL = "xmpp"
        const val TOO_LARGE = "the server sent a message larger than is taken"
        const val KEPT = 64 * 1024
        val LAST_WORDS = 2.seconds
    }
}
