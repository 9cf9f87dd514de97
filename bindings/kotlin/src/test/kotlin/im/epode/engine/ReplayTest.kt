// The golden logs, through the generated classes, come out to the same bytes.
package im.epode.engine

import java.nio.ByteBuffer
import java.nio.file.Files
import java.nio.file.Path
import kotlin.io.path.extension
import kotlin.io.path.invariantSeparatorsPathString
import kotlin.io.path.readLines
import kotlin.io.path.readText
import kotlin.io.path.relativeTo
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonObject
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory

class ReplayTest {
    @TestFactory
    fun `golden logs`(): List<DynamicTest> {
        val logs = logs()
        assertTrue(logs.any { it.endsWith("bosh-external.jsonl") }, "no golden logs in $TRANSCRIPTS")
        return logs.flatMap { log ->
            Crossing.entries.map { crossing ->
                dynamicTest("${log.relativeTo(TRANSCRIPTS)}, bytes ${crossing.name.lowercase().replace('_', ' ')}") { replay(log, crossing) }
            }
        }
    }

    /** The table of what each binding replays is made of such files. */
    @Test
    fun `what is said to be replayed is what is replayed`() {
        val said = Json.parseToJsonElement(REPOSITORY.resolve("bindings/conformance/kotlin.json").readText()).jsonObject
        val names = logs().map { it.relativeTo(TRANSCRIPTS).invariantSeparatorsPathString }.sorted()
        assertEquals(names, said.at("transcripts").texts(), "name these in bindings/conformance/kotlin.json")
        assertEquals(setOf("jid.json", "scram.json"), said.at("vectors").jsonObject.keys)
    }

    @Test
    fun `a stanza crosses with its parts and a deadline with its name`() {
        val steps = replay(TRANSCRIPTS.resolve("bosh-external.jsonl"), Crossing.BORROWED)
        assertEquals(Deadline(31_000uL, "connect"), steps.first().deadline)
        assertNull(steps.last().deadline)
        val stanza = steps.flatMap(Step::outputs).filterIsInstance<Output.Event>().map(Output.Event::event).filterIsInstance<Event.Stanza>().single().stanza
        assertEquals(listOf("user02@debian/x", "chat", "Hello & welcome"), listOf(stanza.from, stanza.type, stanza.body))
    }

    @Test
    fun `a buffer that is not direct is refused before anything crosses`() {
        val header = parse(TRANSCRIPTS.resolve("tcp-external.jsonl").readLines().first())
        Client(config(header, PASSWORD), direct(seed(header))).use { client ->
            assertThrows(IllegalArgumentException::class.java) { client.received(0uL, 1uL, ByteBuffer.wrap(byteArrayOf(60))) }
            // A link that it does not know is one that it has given up.
            assertEquals(emptyList<Output>(), client.received(0uL, 1uL, direct(byteArrayOf(60))).outputs)
        }
    }

    @Test
    fun `a log with one wrong byte does not pass`() {
        val log = TRANSCRIPTS.resolve("password/websocket-scram.jsonl")
        for ((right, wrong) in listOf("mechanism='SCRAM-SHA-256'" to "mechanism='SCRAM-SHA-512'", "\"retry_at\":5023" to "\"retry_at\":5024")) {
            val lines = log.readLines()
            assertTrue(lines.any { right in it })
            assertThrows(AssertionError::class.java) { replay(log, lines.map { it.replace(right, wrong) }, Crossing.BORROWED) }
        }
    }

    /** Plays a log and compares as it goes; gives the steps. */
    private fun replay(log: Path, crossing: Crossing): List<Step> = replay(log, log.readLines(), crossing)

    private fun replay(log: Path, text: List<String>, crossing: Crossing): List<Step> {
        val lines = text.filter(String::isNotBlank).map(::parse)
        assertTrue(lines.size > 5, "$log is too short to show anything")
        val header = lines.first()
        assertEquals(1uL, header.number("epode"), "the version of the log's format")
        // A log that leaves nothing out is taken as it is.
        val peer = ReplayPeer(PASSWORD).takeIf { ReplayPeer.leavesOut(text) }
        val keys = mutableMapOf<ULong, DerivedKey>()
        val steps = mutableListOf<Step>()
        Client(config(header, PASSWORD), direct(seed(header))).use { client ->
            var at = 1
            while (at < lines.size) {
                val input = lines[at]
                val number = ++at
                val expected = mutableListOf<JsonObject>()
                while (at < lines.size && "out" in lines[at]) expected += reduced(lines[at++].at("out").jsonObject)
                val now = input.number("now")
                if (input.at("in").variant().first == "tick") {
                    val deadline = assertNotNullDeadline(steps.last().deadline, "$log:$number: a tick, and no deadline before it")
                    assertTrue(deadline.atMs <= now, "$log:$number: a tick at $now, and the deadline before it is $deadline")
                }
                val got = try {
                    val step = feed(client, now, input.at("in").let { peer?.input(it) ?: it }, crossing, PASSWORD, keys)
                    steps += step
                    step.outputs
                } catch (_: Refused) {
                    // A refusal has no outputs, and a log may have one.
                    emptyList()
                }
                got.filterIsInstance<Output.DeriveKey>().forEach { keys[it.job] = it.derivation.run() }
                val written = got.map(::asEntry).onEach { peer?.output(it) }
                val hidden = written.mapIndexed { index, output -> expected.getOrNull(index)?.let { ReplayPeer.hideAs(it, output) } ?: output }
                assertEquals(expected, hidden, "$log: what comes out after line $number")
            }
        }
        return steps
    }

    private fun logs(): List<Path> = Files.walk(TRANSCRIPTS).use { paths -> paths.filter { it.extension == "jsonl" }.sorted().toList() }

    private fun assertNotNullDeadline(deadline: Deadline?, message: String): Deadline {
        assertNotNull(deadline, message)
        return deadline!!
    }

    companion object {
        /** Any will do: a log does not show it, and where its length shows the test fails. */
        private const val PASSWORD = "pencil"

        /** Maven runs tests in the module's folder. */
        internal val REPOSITORY: Path = Path.of("../..").toAbsolutePath().normalize()
        private val TRANSCRIPTS: Path = REPOSITORY.resolve("tests/transcripts")
    }
}
