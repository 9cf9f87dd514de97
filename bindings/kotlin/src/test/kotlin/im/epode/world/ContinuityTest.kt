// Connections that are cut, applications that are slow, and logins that are given up.
package im.epode.world

import im.epode.Client
import im.epode.Delivery
import im.epode.Epode
import im.epode.Event
import im.epode.Interrupted
import im.epode.Message
import im.epode.NotOnlineException
import im.epode.Offline
import im.epode.Online
import im.epode.RequestFailedException
import im.epode.Stage
import java.util.UUID
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.filter
import kotlinx.coroutines.flow.filterIsInstance
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.EnumSource
import org.junit.jupiter.params.provider.MethodSource

class ContinuityTest {
    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("im.epode.world.World#all")
    fun `a connection that is cut goes on, and nothing is lost`(server: Server, way: Way) = bounded {
        byPassword(server, way).use { client ->
            client.online()
            // Others may write to the account too.
            val mark = UUID.randomUUID().toString()
            val texts = List(40) { "$mark $it" }
            val jid = client.jid!!
            texts.take(10).forEach { client.sendMessage(jid, it) }
            // By then the session can be resumed.
            val before = collect(client, texts[9])
            World.cut(server)
            // While it is away, too.
            val tokens = texts.drop(10).map { client.sendMessage(jid, it) }
            if (way == Way.BOSH && server.name != "dev") return@use tellsTheTruth(client, texts, tokens, before)
            val got = before + collect(client, texts.last())
            assertEquals(texts, got.filterIsInstance<Message>().mapNotNull { it.body }.filter { it.startsWith(mark) })
            assertTrue(got.none { it is Delivery && it.stage == Stage.FAILED }, "$got")
            if (way.resumes) {
                val away = got.filterIsInstance<Interrupted>()
                assertTrue(away.isNotEmpty() && away.all { it.resumable }, "$got")
                assertTrue(got.filterIsInstance<Online>().all { it.resumed }, "$got")
            }
        }
    }

    // A real server may end a BOSH session over a request that was under way when the connection was cut (XEP-0124 §14.2): then what it
    // has not answered is told as failed, and the client goes on with another session.
    private suspend fun tellsTheTruth(client: Client, texts: List<String>, tokens: List<Long>, before: List<Event>) {
        val got = before.toMutableList()
        val open = tokens.toMutableSet()
        client.events.first { event ->
            got += event
            if (event is Delivery && (event.stage == Stage.ACKED || event.stage == Stage.FAILED)) open -= event.token
            open.isEmpty() || event is Offline
        }
        val last = "${texts.first()} again"
        client.sendMessage(client.jid!!.substringBefore('/'), last)
        got += collect(client, last)
        val fates = got.filterIsInstance<Delivery>().filter { it.stage == Stage.ACKED || it.stage == Stage.FAILED }.groupBy { it.token }
        assertTrue(tokens.all { fates[it]?.size == 1 }, "each message has one fate: $fates")
        val bodies = got.filterIsInstance<Message>().mapNotNull { it.body }
        assertEquals(texts.filter { it in bodies }, bodies.filter { it in texts }, "nothing twice, nothing out of order")
        assertTrue(last in bodies, "$got")
    }

    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("im.epode.world.World#all")
    fun `a slow reader stops what is sent to it, and loses nothing`(server: Server, way: Way) = bounded {
        val reader = byPassword(server, way)
        val writer = Epode.connect(server.other.jid) { server.way(this, Way.STARTTLS).password(server.other.password) }
        reader.use {
            writer.use {
                reader.online()
                val jid = reader.jid!!
                val mark = UUID.randomUUID().toString()
                val sent = CompletableDeferred<Unit>()
                coroutineScope {
                    // The writer reads its own events: they are not what this is about.
                    val drain = launch { writer.events.collect { } }
                    launch {
                        // No archive keeps headlines: thousands in one make a server slow.
                        repeat(MANY) { writer.send("<message to='$jid' type='headline'><body>$mark $it</body></message>") }
                        sent.complete(Unit)
                    }
                    val full = waiting(reader)
                    // What one piece of the connection, or one answer, brings on top.
                    val piece = if (way == Way.BOSH) LIMIT else LIMIT / 4
                    assertTrue(full in LIMIT..LIMIT + piece, "$full stanzas wait")
                    repeat(10) {
                        delay(50.milliseconds)
                        assertEquals(full, reader.waitingStanzas(), "it reads on")
                    }
                    val got = reader.events.filterIsInstance<Message>().filter { it.body.orEmpty().startsWith(mark) }.takeBodies(MANY)
                    assertEquals(List(MANY) { "$mark $it" }, got)
                    sent.await()
                    drain.cancelAndJoin()
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource(Way::class)
    fun `a login that is given up half-way leaves nothing`(way: Way) = bounded {
        val server = World.server("silent")
        val before = Left.sockets()
        coroutineScope {
            val login = launch { byPassword(server, way) }
            // Until it has a connection on which nobody speaks.
            while ((Left.sockets() - before).isEmpty()) delay(5.milliseconds)
            delay(50.milliseconds)
            login.cancelAndJoin()
        }
        assertEquals("", Left.beyond(before))
    }

    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("im.epode.world.World#all")
    fun `a scope that is cancelled takes the client with it`(server: Server, way: Way) = bounded {
        val before = Left.sockets()
        val scope = CoroutineScope(Dispatchers.Default + Job())
        val client = Epode.connect(server.password.jid) {
            server.way(this, way).password(server.password.password).scope(scope)
        }
        scope.coroutineContext[Job]!!.cancelAndJoin()
        assertTrue(client.events.toList().last() is Offline)
        assertThrows<NotOnlineException> { runBlocking { client.sendMessage("user02@localhost", "too late") } }
        assertEquals("", Left.beyond(before))
    }

    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("im.epode.world.World#all")
    fun `a goodbye leaves nothing, and comes once`(server: Server, way: Way) = bounded {
        val before = Left.sockets()
        val client = byPassword(server, way)
        assertNotEquals(emptySet<String>(), Left.sockets() - before, "the test sees no connection at all")
        client.close()
        client.close()
        assertEquals("stopped", client.offline?.code)
        assertEquals(1, client.events.toList().count { it is Offline })
        assertEquals("", Left.beyond(before))
    }

    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("im.epode.world.World#all")
    fun `requests are answered, refused and given up`(server: Server, way: Way) = bounded {
        val ping = "<iq type='get' to='${server.password.jid.substringAfter('@')}'><ping xmlns='urn:xmpp:ping'/></iq>"
        byPassword(server, way).use { client ->
            val error = assertThrows<RequestFailedException> {
                runBlocking { client.request("<iq type='get'><query xmlns='urn:example:nobody-knows'/></iq>") }
            }
            assertTrue(error.condition.isNotEmpty())
            if (server.name != "dev") assertEquals(server.password.jid.substringAfter('@'), client.request(ping).from)
            coroutineScope {
                val request = async { client.request(ping) }
                request.cancel()
                assertThrows<CancellationException> { runBlocking { request.await() } }
            }
        }
    }

    @Test
    fun `requests of others are answered`() = bounded {
        val server = World.server("prosody-13")
        val answering = Epode.connect(server.password.jid) {
            server.way(this, Way.STARTTLS).password(server.password.password).answers("urn:example:echo")
        }
        answering.use {
            byPassword(server, Way.WEBSOCKET).use { asking ->
                val question = "<iq type='get' to='${answering.jid}'><echo xmlns='urn:example:echo'>hi</echo></iq>"
                coroutineScope {
                    val answer = async { asking.request(question) }
                    val request = answering.events.filterIsInstance<im.epode.Request>().first()
                    assertEquals("hi", request.xml.element().textContent)
                    answering.respond(request, "<echo xmlns='urn:example:echo'>ho</echo>")
                    assertEquals("ho", answer.await().xml.element().textContent)
                    val late = assertThrows<NotOnlineException> { runBlocking { answering.respond(request) } }
                    assertTrue("answered already" in late.message!!, late.message)
                    val refused = async { runCatching { asking.request(question) } }
                    answering.refuse(answering.events.filterIsInstance<im.epode.Request>().first(), "item-not-found")
                    assertEquals("item-not-found", (refused.await().exceptionOrNull() as RequestFailedException).condition)
                }
            }
        }
    }

    private suspend fun collect(client: Client, last: String): List<Event> {
        val events = mutableListOf<Event>()
        client.events.first { event ->
            events += event
            (event is Message && event.body == last) || event is Offline
        }
        return events
    }

    private suspend fun kotlinx.coroutines.flow.Flow<Message>.takeBodies(count: Int): List<String> {
        val bodies = mutableListOf<String>()
        first { message ->
            message.body?.let { bodies += it }
            bodies.size == count
        }
        return bodies
    }

    /** Until the reader's queue is full and does not grow any more. */
    private suspend fun waiting(client: Client): Int {
        while (client.waitingStanzas() < LIMIT) delay(10.milliseconds)
        var last = -1
        while (true) {
            val now = client.waitingStanzas()
            if (now == last) return now
            last = now
            delay(200.milliseconds)
        }
    }

    private companion object {
        const val LIMIT = 1_000
        const val MANY = 2_500
    }
}
