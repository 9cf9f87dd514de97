// Logins by every way, and those that must not succeed.
package im.epode.world

import im.epode.Blame
import im.epode.ChannelBinding
import im.epode.Client
import im.epode.ConnectionFailedException
import im.epode.Epode
import im.epode.LoginFailedException
import im.epode.Message
import im.epode.Online
import im.epode.ServerProof
import im.epode.TlsFailedException
import im.epode.WentOfflineException
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.flow.filterIsInstance
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.MethodSource

/** A limit for a test that hangs, and for nothing else. */
internal fun bounded(work: suspend () -> Unit): Unit = runBlocking { withTimeout(180.seconds) { work() } }

internal suspend fun Client.online(): Online = events.filterIsInstance<Online>().first()

internal suspend fun byPassword(server: Server, way: Way): Client = Epode.connect(server.password.jid) {
    server.way(this, way).password(server.password.password)
}

internal suspend fun byCertificate(server: Server, way: Way): Client = Epode.connect(server.certificate.jid) {
    server.way(this, way).certificate(server.certificate.p12, server.certificate.p12Password)
}

class LoginTest {
    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("im.epode.world.World#all")
    fun `a certificate logs in, and a message comes back`(server: Server, way: Way) = bounded {
        byCertificate(server, way).use { client ->
            val online = client.online()
            assertEquals("EXTERNAL", online.mechanism)
            assertEquals(client.jid, online.jid)
            assertFalse(online.resumed)
            assertEquals(true, online.clientCertificateRequested, "$online")
            echo(client)
        }
    }

    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("im.epode.world.World#all")
    fun `a certificate in PEM does as well`(server: Server, way: Way) = bounded {
        val client = Epode.connect(server.certificate.jid) {
            server.way(this, way).certificatePem(server.certificate.cert, server.certificate.key)
        }
        client.use { assertEquals("EXTERNAL", it.online().mechanism) }
    }

    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("im.epode.world.World#all")
    fun `a password logs in, and a message comes back`(server: Server, way: Way) = bounded {
        byPassword(server, way).use { client ->
            val online = client.online()
            assertTrue(online.mechanism.startsWith("SCRAM-SHA-"), online.mechanism)
            assertEquals(ServerProof.VERIFIED, online.serverProof)
            if (online.mechanism.endsWith("-PLUS")) {
                assertTrue(online.channelBinding in listOf(ChannelBinding.TLS_EXPORTER, ChannelBinding.TLS_SERVER_END_POINT))
            }
            echo(client)
        }
    }

    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("im.epode.world.World#all")
    fun `a wrong password is the login's fault, and is not tried again`(server: Server, way: Way) = bounded {
        val before = Left.sockets()
        val error = assertThrows<LoginFailedException> {
            runBlocking { Epode.connect(server.password.jid) { server.way(this, way).password("a-guess-0f-mine") } }
        }
        assertEquals(Blame.LOGIN, error.reason.blame)
        assertEquals("not-authorized", error.reason.condition)
        assertFalse("a-guess-0f-mine" in error.toString(), error.toString())
        assertEquals("", Left.beyond(before))
    }

    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("im.epode.world.World#all")
    fun `an expired certificate is refused`(server: Server, way: Way) = bounded {
        val before = Left.sockets()
        val error = assertThrows<WentOfflineException> {
            runBlocking {
                Epode.connect(server.expired.jid) {
                    server.way(this, way).certificate(server.expired.p12, server.expired.p12Password)
                }
            }
        }
        assertTrue(error.reason.blame == Blame.LOGIN || error.reason.blame == Blame.TLS, "${error.reason}")
        assertEquals("", Left.beyond(before))
    }

    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("im.epode.world.World#all")
    fun `a server that nobody here trusts is not logged in to`(server: Server, way: Way) = bounded {
        val before = Left.sockets()
        val error = assertThrows<TlsFailedException> {
            runBlocking {
                Epode.connect(server.password.jid) {
                    server.way(this, way).password(server.password.password).authorities(World.rogueCa)
                }
            }
        }
        assertTrue("authorities" in error.message!!, error.message)
        assertEquals("", Left.beyond(before))
    }

    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("im.epode.world.World#all")
    fun `a server that is not there is a connection that failed`(server: Server, way: Way) = bounded {
        World.control("down ${server.name}")
        try {
            assertThrows<ConnectionFailedException> { runBlocking { byPassword(server, way) } }
        } finally {
            World.control("up ${server.name}")
        }
    }

    private suspend fun echo(client: Client) {
        val text = "to myself, with <, & and \u00e9\ud83d\ude00"
        client.sendMessage(client.jid!!, text)
        val message = client.events.filterIsInstance<Message>().first { it.body == text }
        assertEquals(client.jid, message.from)
    }
}
