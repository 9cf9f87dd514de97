// Tasks of the application's (XEP-0388 §2.6.3) whose login is over before they are done.
package im.epode.driver

import im.epode.Epode
import im.epode.Message
import im.epode.Online
import im.epode.Tls
import im.epode.WentOfflineException
import im.epode.world.bounded
import java.io.IOException
import java.net.InetAddress
import java.net.ServerSocket
import java.net.Socket
import java.nio.file.Files
import java.nio.file.Path
import java.security.KeyStore
import java.util.concurrent.atomic.AtomicInteger
import javax.net.ssl.KeyManagerFactory
import javax.net.ssl.SSLContext
import kotlin.concurrent.thread
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.flow.filterIsInstance
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows

class TaskTest {
    /** The link is lost while the user types; the next login asks again, and the old answer comes first. */
    @Test
    fun `a late answer does not harm the login that came after it`() = bounded {
        val answers = List(2) { CompletableDeferred<String>() }
        val asked = List(2) { CompletableDeferred<Unit>() }
        val count = AtomicInteger()
        // The first login asks nothing: only who has been online is connected again.
        Scripted(asks = listOf(false, true, true)).use { server ->
            val client = Epode.connect("localhost") {
                tcp("localhost", server.port, Tls.DIRECT).authorities(server.store).anonymous()
                task(TASK) {
                    val mine = count.getAndIncrement()
                    asked[mine].complete(Unit)
                    // As an application that does not know of cancelling.
                    runBlocking { answers[mine].await() }
                }
            }
            client.use {
                client.events.filterIsInstance<Online>().first()
                server.cut()
                asked[0].await()
                server.cut()
                asked[1].await()
                answers[0].complete(code("old"))
                answers[1].complete(code("new"))
                client.events.filterIsInstance<Online>().first()
                server.say("<message><body>still here</body></message>")
                assertEquals("still here", client.events.filterIsInstance<Message>().first().body)
            }
            assertEquals(listOf("new"), server.codes)
        }
    }

    @Test
    fun `an answer that comes while nobody waits is dropped`() = bounded {
        val answer = CompletableDeferred<String>()
        val asked = CompletableDeferred<Unit>()
        Scripted(asks = listOf(false, true, false)).use { server ->
            val client = Epode.connect("localhost") {
                tcp("localhost", server.port, Tls.DIRECT).authorities(server.store).anonymous()
                task(TASK) {
                    asked.complete(Unit)
                    runBlocking { answer.await() }
                }
            }
            client.use {
                client.events.filterIsInstance<Online>().first()
                server.cut()
                asked.await()
                server.cut()
                client.events.filterIsInstance<Online>().first()
                answer.complete(code("old"))
                server.say("<message><body>still here</body></message>")
                assertEquals("still here", client.events.filterIsInstance<Message>().first().body)
            }
            assertEquals(emptyList<String>(), server.codes)
        }
    }

    @Test
    fun `a handler that gives up by a cancellation of its own ends the login`() = bounded {
        Scripted(asks = listOf(true)).use { server ->
            val error = assertThrows<WentOfflineException> {
                runBlocking {
                    Epode.connect("localhost") {
                        tcp("localhost", server.port, Tls.DIRECT).authorities(server.store).anonymous()
                        task(TASK) { throw CancellationException("the dialog was closed") }
                    }
                }
            }
            assertTrue(error.cause is CancellationException, "$error")
        }
    }

    private fun code(code: String) = "<code xmlns='urn:example:otp'>$code</code>"

    /** A server with SASL2 and ANONYMOUS, one connection after the other. [asks]: whether the login of each has a task. */
    private class Scripted(private val asks: List<Boolean>) : AutoCloseable {
        val store: KeyStore = selfSigned()
        private val listener = listen()
        val port: Int get() = listener.localPort
        val codes: MutableList<String> = java.util.Collections.synchronizedList(mutableListOf())

        @Volatile
        private var current: Socket? = null
        private val server = thread(name = "scripted") {
            for (ask in asks) {
                try {
                    listener.accept().use { socket ->
                        current = socket
                        serve(socket, ask)
                    }
                } catch (_: IOException) {
                    // Cut, or closed.
                }
            }
        }

        private fun serve(socket: Socket, ask: Boolean) {
            val buffer = ByteArray(16 * 1024)
            var text = ""
            while (true) {
                val count = socket.getInputStream().read(buffer)
                if (count < 0) return
                text += String(buffer, 0, count)
                while (true) {
                    val (taken, answer) = answer(text, ask) ?: break
                    text = text.substring(taken)
                    socket.getOutputStream().write(answer.toByteArray())
                }
            }
        }

        /** A certificate for localhost that vouches for itself. */
        private fun selfSigned(): KeyStore {
            val file = Files.createTempDirectory("epode").resolve("server.p12")
            val keytool = Path.of(System.getProperty("java.home"), "bin", "keytool").toString()
            val made = ProcessBuilder(
                keytool, "-genkeypair", "-alias", "server", "-keyalg", "EC", "-dname", "CN=localhost", "-ext", "san=dns:localhost",
                "-keystore", file.toString(), "-storetype", "PKCS12", "-storepass", "changeit",
            ).redirectErrorStream(true).start()
            val said = made.inputReader().readText()
            assertEquals(0, made.waitFor(), said)
            val store = KeyStore.getInstance(file.toFile(), "changeit".toCharArray())
            Files.delete(file)
            Files.delete(file.parent)
            return store
        }

        private fun listen(): ServerSocket {
            val keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm())
            keys.init(store, "changeit".toCharArray())
            val context = SSLContext.getInstance("TLS")
            context.init(keys.keyManagers, null, null)
            return context.serverSocketFactory.createServerSocket(0, 8, InetAddress.getByName("localhost"))
        }

        /** How much of what was read is dealt with, and what is said to it. */
        private fun answer(text: String, ask: Boolean): Pair<Int, String>? {
            fun after(end: String) = text.indexOf(end) + end.length
            return when {
                "<stream:stream" in text && text.indexOf('>', text.indexOf("<stream:stream")) > 0 ->
                    Pair(text.indexOf('>', text.indexOf("<stream:stream")) + 1, HEADER + OFFER)
                "</authenticate>" in text ->
                    Pair(after("</authenticate>"), if (ask) CONTINUE else SUCCESS)
                "</code>" in text -> {
                    codes += text.substringBefore("</code>").substringAfterLast('>')
                    Pair(after("</code>"), SUCCESS)
                }
                "</bind></iq>" in text || "urn:ietf:params:xml:ns:xmpp-bind" in text && text.trimEnd().endsWith("</iq>") -> {
                    val id = Regex("id=['\"]([^'\"]+)").findAll(text).last().groupValues[1]
                    Pair(
                        text.length,
                        "<iq type='result' id='$id'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>x@localhost/y</jid></bind></iq>",
                    )
                }
                "</stream:stream>" in text -> Pair(after("</stream:stream>"), "</stream:stream>")
                else -> null
            }
        }

        /** Resets the connection that is there. */
        fun cut() {
            val socket = current!!
            socket.setSoLinger(true, 0)
            socket.close()
        }

        fun say(xml: String) = current!!.getOutputStream().write(xml.toByteArray())

        override fun close() {
            listener.close()
            current?.close()
            server.join()
        }
    }

    private companion object {
        const val TASK = "OTP-EXAMPLE"
        const val HEADER = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' " +
            "id='s' from='localhost' version='1.0'>"
        const val OFFER = "<stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>ANONYMOUS</mechanism></authentication>" +
            "</stream:features>"
        const val CONTINUE = "<continue xmlns='urn:xmpp:sasl:2'><tasks><task>$TASK</task></tasks></continue>"
        const val SUCCESS = "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>x@localhost</authorization-identifier></success>" +
            "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>"
    }
}
