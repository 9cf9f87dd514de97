// The way to a server through DNS: a name server of our own answers, and the JDK's client asks it.
package im.epode.world

import im.epode.ConnectionFailedException
import im.epode.Epode
import im.epode.WentOfflineException
import java.io.ByteArrayOutputStream
import java.io.DataOutputStream
import java.net.DatagramPacket
import java.net.DatagramSocket
import java.net.InetAddress
import java.net.SocketException
import kotlin.concurrent.thread
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows

class DiscoveryTest {
    private val server = World.server("dev")

    @Test
    fun `SRV records lead to the server`() = bounded {
        val (_, direct) = server.place("direct_tls")
        NameServer { name -> if (name.startsWith("_xmpps-client._tcp.")) direct else null }.use { names ->
            val client = Epode.connect(server.certificate.jid) {
                discover(tcp = true, websocket = false, bosh = false)
                nameServer("127.0.0.1:${names.port}")
                authorities(World.ca)
                certificate(server.certificate.p12, server.certificate.p12Password)
            }
            client.use { assertEquals("EXTERNAL", it.online().mechanism) }
            assertTrue(names.asked.any { it == "_xmpps-client._tcp.cert.localhost" }, "${names.asked}")
        }
    }

    @Test
    fun `where DNS knows nothing, the login fails and says so`() = bounded {
        NameServer { null }.use { names ->
            val error = assertThrows<WentOfflineException> {
                runBlocking {
                    Epode.connect("alice@nowhere.invalid") {
                        discover(tcp = true, websocket = false, bosh = false)
                        nameServer("127.0.0.1:${names.port}")
                        password("pencil")
                    }
                }
            }
            assertTrue(error is ConnectionFailedException, "$error")
        }
    }

    /** Answers each question for SRV with one record that leads to this port of localhost, or with none. */
    private class NameServer(private val portOf: (String) -> Int?) : AutoCloseable {
        private val socket = DatagramSocket(0, InetAddress.getLoopbackAddress())
        val port: Int get() = socket.localPort
        val asked: MutableList<String> = java.util.Collections.synchronizedList(mutableListOf())
        private val server = thread(name = "name server") {
            try {
                while (true) serve()
            } catch (_: SocketException) {
                // Closed.
            }
        }

        private fun serve() {
            val question = DatagramPacket(ByteArray(1_500), 1_500)
            socket.receive(question)
            val bytes = question.data.copyOf(question.length)
            // RFC 1035 §4.1: after the header, the name as labels, then two numbers.
            val labels = mutableListOf<String>()
            var at = HEADER
            while (bytes[at] != 0.toByte()) {
                val length = bytes[at].toInt()
                labels += String(bytes, at + 1, length)
                at += 1 + length
            }
            val name = labels.joinToString(".")
            asked += name
            val answer = answer(bytes.copyOfRange(0, at + 5), portOf(name))
            socket.send(DatagramPacket(answer, answer.size, question.socketAddress))
        }

        private fun answer(question: ByteArray, port: Int?): ByteArray {
            val bytes = ByteArrayOutputStream()
            DataOutputStream(bytes).run {
                write(question, 0, 2)
                // A recursive answer; one that there is no such name where there is none.
                writeShort(if (port == null) 0x8183 else 0x8180)
                writeShort(1)
                writeShort(if (port == null) 0 else 1)
                writeInt(0)
                write(question, HEADER, question.size - HEADER)
                if (port != null) {
                    // RFC 2782: the name of the question, SRV, IN, a minute.
                    writeShort(0xC000 or HEADER)
                    writeShort(33)
                    writeShort(1)
                    writeInt(60)
                    val target = "\u0009localhost\u0000".toByteArray()
                    writeShort(6 + target.size)
                    writeShort(0)
                    writeShort(5)
                    writeShort(port)
                    write(target)
                }
            }
            return bytes.toByteArray()
        }

        override fun close() {
            socket.close()
            server.join()
        }

        private companion object {
            const val HEADER = 12
        }
    }
}
