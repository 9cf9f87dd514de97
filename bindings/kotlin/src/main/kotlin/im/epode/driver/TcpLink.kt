// One TCP link: connect, TLS at once or when it is asked for, then bytes in both directions until somebody ends it.
package im.epode.driver

import im.epode.engine.TcpTls
import java.io.ByteArrayOutputStream
import java.io.IOException
import java.net.Socket
import java.util.concurrent.atomic.AtomicLong
import javax.net.ssl.SSLSocket
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

/**
 * One coroutine reads and one writes, each blocked in the JDK's socket: closing the socket is what ends them. The reader hands a piece in and
 * waits for the engine before it reads the next, so that nothing is read between the word that begins TLS and TLS.
 */
internal class TcpLink(
    wire: Wire,
    parent: Job,
    private val opening: Opening,
    private val host: String,
    private val port: Int,
    private val tls: TcpTls,
) : Link(wire, parent) {
    /** Two threads beyond those that others may be blocking. */
    private val blocking = Dispatchers.IO.limitedParallelism(2)
    private val dial = Dial()
    private val orders = Channel<ByteArray>(Channel.UNLIMITED)
    private val queued = AtomicLong()

    @Volatile
    private var socket: Socket? = null

    @Volatile
    private var securing: String? = null
    private var writer: Job? = null
    private val reader = live { connect() }

    override fun write(bytes: ByteArray) {
        if (queued.addAndGet(bytes.size.toLong()) > MAX_QUEUED) {
            orders.close()
            scope.launch {
                wire.failed(TAKES_NOTHING)
                abort()
            }
            return
        }
        orders.trySend(bytes)
    }

    /** The reader sees it when the engine has dealt with what it read last. */
    override fun startTls(serverName: String) {
        securing = serverName
    }

    /** What was ordered is written, then the goodbye of TLS and of TCP. What the peer still sends is read and dropped: a socket that is closed
     * with bytes unread resets the connection, and the peer may lose what was written last. */
    override suspend fun goodbye() {
        orders.close()
        // Still connecting: there is nobody to say goodbye to.
        val writer = writer ?: return
        writer.join()
        reader.join()
    }

    override fun release() {
        orders.close()
        dial.close()
    }

    private suspend fun connect() {
        val raw = withContext(blocking) { dial.connect(host, port) }
        socket = raw
        if (tls == TcpTls.DIRECT) {
            secure(raw, opening.serverName, ALPN)
        } else {
            begin(raw)
            wire.connected(info(null, opening.serverName))
        }
        read(raw)
    }

    private suspend fun secure(raw: Socket, serverName: String, alpn: String?) {
        val secured = opening.tls.over(raw, serverName, alpn)
        withContext(blocking) { secured.startHandshake() }
        begin(secured)
        val settled = secured.applicationProtocol?.ifEmpty { null }
        wire.connected(info(opening.tls.seen(secured), serverName, alpn = settled))
    }

    private fun begin(socket: Socket) {
        this.socket = socket
        if (writer == null) writer = scope.launch { write() }
    }

    private suspend fun read(raw: Socket) {
        val buffer = ByteArray(READ)
        while (true) {
            val count = withContext(blocking) { current().getInputStream().read(buffer) }
            if (count < 0) break
            untilReadable()
            if (closing) continue
            wire.received(buffer, count)
            securing?.let { serverName ->
                securing = null
                // RFC 6120 §5.4.3.3: what had been read already has gone to the engine; from here on it is TLS.
                secure(raw, serverName, null)
            }
        }
        if (!closing) wire.ended()
    }

    private suspend fun write() {
        for (first in orders) {
            val bytes = gathered(first)
            try {
                withContext(blocking) {
                    current().getOutputStream().apply {
                        write(bytes)
                        flush()
                    }
                }
            } catch (error: CancellationException) {
                throw error
            } catch (error: Exception) {
                return lastWords(error)
            }
            queued.addAndGet(-bytes.size.toLong())
            wire.written(bytes.size)
        }
        // Closed.
        try {
            withContext(blocking) { current().shutdownOutput() }
        } catch (error: CancellationException) {
            throw error
        } catch (_: Exception) {
            // The peer was faster.
        }
    }

    /** Many small stanzas make one packet, and one TLS record. */
    private fun gathered(first: ByteArray): ByteArray {
        var next = orders.tryReceive().getOrNull() ?: return first
        val bytes = ByteArrayOutputStream(first.size + next.size)
        bytes.write(first)
        while (true) {
            bytes.write(next)
            if (bytes.size() >= WRITE) break
            next = orders.tryReceive().getOrNull() ?: break
        }
        return bytes.toByteArray()
    }

    /** Why it cannot be written is for the reader to find out, for a while: a server that ends a stream says why first. */
    private suspend fun lastWords(error: Exception) {
        if (closing) return
        delay(LAST_WORDS)
        if (!reader.isActive) return
        wire.failed(failureOf(error))
        release()
    }

    private fun current(): Socket = socket ?: throw IOException("not connected")

    private companion object {
        /** What ALPN calls XMPP on a connection that begins with TLS (XEP-0368 §2). */
        const val ALPN = "xmpp-client"

        /** Bytes read at once. */
        const val READ = 16 * 1024

        /** Bytes written at once, and reported as one; more where one order has more. */
        const val WRITE = 64 * 1024

        val LAST_WORDS = 2.seconds
    }
}
