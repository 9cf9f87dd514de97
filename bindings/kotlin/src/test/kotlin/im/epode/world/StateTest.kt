// What survives the process, who may read it, and what never shows.
package im.epode.world

import im.epode.ConfigurationException
import im.epode.Epode
import im.epode.LoginFailedException
import im.epode.Policy
import im.epode.driver.StateFolder
import im.epode.engine.Slot
import java.io.IOException
import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.attribute.PosixFilePermissions
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.api.io.TempDir
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.EnumSource

class StateTest {
    @TempDir
    lateinit var temporary: Path

    @ParameterizedTest
    @EnumSource(Way::class)
    fun `a token logs in where the password did`(way: Way) = bounded {
        val server = World.server("modern")
        val folder = temporary.resolve("state")
        val first = Epode.connect(server.password.jid) {
            server.way(this, way).password(server.password.password).state(folder)
        }
        first.use { assertTrue(it.online().mechanism.startsWith("SCRAM-"), it.jid) }
        assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(folder)))
        assertEquals("rw-------", PosixFilePermissions.toString(Files.getPosixFilePermissions(folder.resolve("token"))))
        val second = Epode.connect(server.password.jid) { server.way(this, way).state(folder) }
        second.use { assertTrue(it.online().mechanism.startsWith("HT-"), it.jid) }
    }

    @Test
    fun `a key of SCRAM logs in where the password did`() = bounded {
        val server = World.server("dev")
        val key = byPassword(server, Way.STARTTLS).use { client ->
            client.online()
            assertNotNull(client.scramKey)
            client.scramKey!!
        }
        val second = Epode.connect(server.password.jid) { server.way(this, Way.DIRECT_TLS).scramKey(key) }
        second.use { assertTrue(it.online().mechanism.startsWith("SCRAM-"), it.jid) }
    }

    @Test
    fun `without a token there is nothing to log in with`() = bounded {
        val server = World.server("modern")
        val error = assertThrows<LoginFailedException> {
            runBlocking {
                Epode.connect(server.password.jid) { server.way(this, Way.DIRECT_TLS).state(temporary.resolve("empty")) }
            }
        }
        assertEquals("no_token", error.reason.code)
    }

    @Test
    fun `a slot is replaced, extended and emptied`() {
        val state = StateFolder(temporary.resolve("slots"))
        assertNull(state.load(Slot.TOKEN))
        state.write(Slot.TOKEN, false, byteArrayOf(1, 2))
        state.write(Slot.TOKEN, true, byteArrayOf(3))
        assertArrayEquals(byteArrayOf(1, 2, 3), state.load(Slot.TOKEN))
        state.write(Slot.TOKEN, false, ByteArray(0))
        assertNull(state.load(Slot.TOKEN))
        assertEquals(0, Files.list(temporary.resolve("slots")).use { it.count() })
    }

    @Test
    fun `what a process left that died while it stored is removed`() {
        val folder = temporary.resolve("died")
        StateFolder(folder).write(Slot.TOKEN, false, byteArrayOf(1))
        val draft = Files.write(folder.resolve(".session.123.tmp"), byteArrayOf(1))
        val others = Files.write(folder.resolve(".other.123.tmp"), byteArrayOf(1))
        assertArrayEquals(byteArrayOf(1), StateFolder(folder).load(Slot.TOKEN))
        assertFalse(Files.exists(draft))
        assertTrue(Files.exists(others))
    }

    /** An error of storing, and no fault of the driver's. */
    @Test
    fun `what others can read is not extended`() {
        val state = StateFolder(temporary.resolve("extended"))
        state.write(Slot.SESSION, false, byteArrayOf(1))
        Files.setPosixFilePermissions(temporary.resolve("extended/session"), PosixFilePermissions.fromString("rw-r--r--"))
        val error = assertThrows<IOException> { state.write(Slot.SESSION, true, byteArrayOf(2)) }
        assertTrue("chmod 600" in error.message!!)
    }

    @Test
    fun `what others can read is refused`() {
        val state = StateFolder(temporary.resolve("open"))
        state.write(Slot.TOKEN, false, byteArrayOf(1))
        Files.setPosixFilePermissions(temporary.resolve("open/token"), PosixFilePermissions.fromString("rw-r--r--"))
        val error = assertThrows<ConfigurationException> { state.load(Slot.TOKEN) }
        assertTrue("chmod 600" in error.message!!)
    }

    @Test
    fun `what cannot work is refused with a sentence, and no secret shows`() {
        val secret = "s3cret-0f-mine"
        val builder = Epode.builder("user01@localhost").password(secret).bosh("http://localhost/")
        assertFalse(secret in "$builder")
        val error = assertThrows<ConfigurationException> { builder.open() }
        assertEquals("the address is http or ws: credentials travel over https and wss only", error.message)
        val both = assertThrows<ConfigurationException> {
            Epode.builder("user01@localhost").websocket("wss://localhost/").password(secret).accessToken(secret).open()
        }
        assertFalse(secret in "$both")
        assertThrows<ConfigurationException> { Epode.builder("@").websocket("wss://localhost/").password(secret).open() }
        assertThrows<ConfigurationException> { Epode.builder("a@b").websocket("wss://localhost/").open() }
        assertThrows<ConfigurationException> {
            Epode.builder("a@b").password(secret).websocket("wss://b/").policy(Policy().apply { scramMin = -1 }).open()
        }
        val file = World.ca
        assertThrows<ConfigurationException> { Epode.builder("a@b").certificate(file, null) }
        assertThrows<ConfigurationException> { Epode.builder("a@b").certificatePem(file, file) }
        assertThrows<ConfigurationException> { Epode.builder("a@b").authorities(temporary.resolve("nothing")) }
    }
}
