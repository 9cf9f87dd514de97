// What a link does by itself: what it takes from this JVM's settings, what its connections show, and how it fails.
package im.epode.driver

import im.epode.authoritiesOf
import im.epode.engine.Failure
import im.epode.engine.LinkInfo
import im.epode.engine.TlsFacts
import im.epode.trustOf
import im.epode.world.Way
import im.epode.world.World
import im.epode.world.bounded
import im.epode.world.byPassword
import im.epode.world.online
import java.net.Socket
import javax.net.ssl.SSLSocket
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Job
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class LinkTest {
    private val server = World.server("dev")

    private fun tls() = LinkTls(null, trustOf(authoritiesOf(World.ca)), arrayOf("TLSv1.3", "TLSv1.2"), pinned = false)

    /** Nobody listens at the proxy: a connection by it would fail. */
    @Test
    fun `a connection obeys no proxy of this JVM's settings`() = bounded {
        val settings = mapOf("socksProxyHost" to "127.0.0.1", "socksProxyPort" to "1", "socksNonProxyHosts" to "nobody.invalid")
        settings.forEach { (name, value) -> System.setProperty(name, value) }
        try {
            for (way in listOf(Way.STARTTLS, Way.BOSH)) byPassword(server, way).use { it.online() }
        } finally {
            settings.keys.forEach { System.clearProperty(it) }
        }
    }

    /** Both are made before the first has its tickets. */
    @Test
    fun `of two connections neither resumes the other`() {
        val tls = tls()
        val (host, port) = server.place("direct_tls")
        Socket(host, port).use { one ->
            Socket(host, port).use { other ->
                val sockets = listOf(one, other).map { tls.over(it, "cert.localhost", "xmpp-client") }
                val requested = sockets.map { socket ->
                    socket.startHandshake()
                    hearFrom(socket)
                    tls.seen(socket).clientCertificateRequested
                }
                assertEquals(listOf(true, true), requested)
            }
        }
    }

    /** What the server says first comes after its tickets. */
    private fun hearFrom(socket: SSLSocket) {
        val header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='cert.localhost' version='1.0'>"
        socket.outputStream.write(header.toByteArray())
        assertTrue(socket.inputStream.read() >= 0)
    }

    @Test
    fun `a WebSocket that cannot send a text says that it failed`() = bounded {
        val connected = CompletableDeferred<Unit>()
        val failed = CompletableDeferred<Failure>()
        val wire = object : Wire {
            override suspend fun received(bytes: ByteArray, length: Int) = Unit

            override suspend fun responded(request: ULong, status: Int, body: ByteArray, tls: TlsFacts?) = Unit

            override suspend fun connected(info: LinkInfo) {
                connected.complete(Unit)
            }

            override suspend fun ended() = Unit

            override suspend fun failed(reason: Failure, request: ULong?) {
                failed.complete(reason)
            }

            override fun written(bytes: Int) = Unit
        }
        val link = WebSocketLink(wire, Job(), Opening("localhost", null, 1_000_000u, tls()), server.websocket)
        try {
            connected.await()
            // Half a character: java.net.http refuses it with an IllegalArgumentException.
            link.frame("\ud800")
            failed.await()
        } finally {
            link.abort()
            link.join()
        }
    }
}
