// The sample for Java in the README is compiled and run as it stands there.
package im.epode

import im.epode.world.World
import java.nio.file.Path
import java.util.concurrent.TimeUnit
import kotlin.io.path.readText
import kotlin.io.path.writeText
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.io.TempDir

@Timeout(value = 180, unit = TimeUnit.SECONDS)
class JavaSampleTest {
    @Test
    fun `the sample says everything back`(@TempDir folder: Path) {
        val sample = Path.of("README.md").readText().substringAfter("```java\n").substringBefore("```")
        assertTrue("class Echo" in sample && sample.lines().size <= 40)
        val source = folder.resolve("Echo.java").also { it.writeText(sample) }
        val dev = World.server("dev")
        val (host, port) = dev.place("tcp")
        val java = Path.of(System.getProperty("java.home"), "bin", "java").toString()
        val command = listOf(java, "-cp", System.getProperty("java.class.path"), "$source", dev.password.jid, host, "$port", "${World.ca}")
        val builder = ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT)
        builder.environment()["EPODE_PASSWORD"] = dev.password.password
        val echo = builder.start()
        try {
            val online = echo.inputStream.bufferedReader().readLine()
            assertTrue(online.startsWith("online as "), online)
            val jid = online.removePrefix("online as ")
            val other = Epode.builder(dev.other.jid).password(dev.other.password).tcp(host, port).authorities(World.ca)
            Epode.connect(other).get().use { client ->
                client.sendMessage(jid, "again & again").get()
                val back = client.events().first { it is Message } as Message
                assertEquals(listOf("again & again", jid), listOf(back.body, back.from))
                client.sendMessage(jid, "leave").get()
                assertTrue(echo.waitFor(120, TimeUnit.SECONDS), "it stays")
                assertEquals(0, echo.exitValue())
            }
        } finally {
            echo.destroyForcibly()
        }
    }
}
