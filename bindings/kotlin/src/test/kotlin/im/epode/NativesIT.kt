// A program that has nothing but the jar and what it depends on finds its native library, or reads a sentence that helps.
package im.epode

import java.io.File
import java.nio.file.Files
import java.nio.file.Path
import java.util.concurrent.TimeUnit
import java.util.jar.JarEntry
import java.util.jar.JarFile
import java.util.jar.JarOutputStream
import kotlin.io.path.createDirectories
import kotlin.io.path.exists
import kotlin.io.path.listDirectoryEntries
import kotlin.io.path.name
import kotlin.io.path.writeBytes
import kotlin.io.path.writeText
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.DynamicTest
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory
import org.junit.jupiter.api.io.TempDir

class NativesIT {
    @TempDir
    lateinit var folder: Path

    private class Ended(val status: Int, val out: String, val err: String)

    @TestFactory
    fun `the jar alone is enough`(): List<DynamicTest> = javas().map { java ->
        dynamicTest("with $java") {
            val access = if (major(java) >= 22) listOf("--enable-native-access=ALL-UNNAMED") else emptyList()
            val ended = program(java, JAR, access)
            assertEquals("0.1.0\n", ended.out, ended.err)
            assertEquals("", ended.err)
            assertEquals(emptyList<String>(), leftovers(), "files that were unpacked and stayed")
        }
    }

    @Test
    fun `the library is stripped of what only a debugger reads`() {
        val library = unpack(folder.resolve("library"))
        val sections = run(listOf("readelf", "--section-headers", "--wide", library.toString()))
        assertEquals(0, sections.status, sections.err)
        assertTrue(".dynsym" in sections.out)
        assertFalse(".debug_" in sections.out, sections.out)
    }

    @Test
    fun `a library that stands elsewhere is not taken`() {
        val elsewhere = folder.resolve("elsewhere").createDirectories()
        elsewhere.resolve(System.mapLibraryName("epode_uniffi")).writeText("no library at all")
        val ended = program(current(), JAR, listOf("-Djna.library.path=$elsewhere"))
        assertEquals("0.1.0\n", ended.out, ended.err)
    }

    @Test
    fun `a platform without a library in the jar is named, and what to do`() {
        val bare = changed { null }
        val ended = program(current(), bare)
        val sentence =
            "IllegalStateException: There is no native library of epode for this platform ($PLATFORM) in the jar. Use a jar that was built on such a " +
                "machine, or build the library there (cargo build --release -p epode-uniffi) and name its folder by -Djna.library.path=FOLDER.\n"
        assertEquals(sentence.repeat(2), ended.out, ended.err)
        // And that is what helps.
        val own = unpack(folder.resolve("own")).parent
        val helped = program(current(), bare, listOf("-Djna.library.path=$own"))
        assertEquals("0.1.0\n", helped.out, helped.err)
    }

    @Test
    fun `a library of another build is refused each time`() {
        for ((what, body) in listOf("an older one" to "", "a newer one" to OTHER)) {
            val ended = program(current(), changed { other(body) })
            val sentence = "The native library of epode and its classes are not of one build: "
            assertTrue(ended.out.startsWith("IllegalStateException: $sentence"), "$what: ${ended.out}${ended.err}")
            assertTrue("Take both from one jar" in ended.out, ended.out)
            // The second time the JVM itself would only say that a class could not be initialised.
            assertEquals(2, ended.out.lines().filter(String::isNotEmpty).size)
            assertEquals(1, ended.out.lines().filter(String::isNotEmpty).toSet().size, ended.out)
        }
    }

    /** Prints the version, or twice what was thrown, from a fresh JVM with another folder to work in. */
    private fun program(java: Path, jar: Path, options: List<String> = emptyList()): Ended {
        val source = folder.resolve("Program.java")
        source.writeText(PROGRAM)
        val temporary = folder.resolve("temporary").createDirectories()
        val classPath = (listOf(jar.toString()) + DEPENDENCIES).joinToString(File.pathSeparator)
        return run(
            listOf(java.toString(), "-Djna.tmpdir=$temporary", "-Djava.io.tmpdir=$temporary") + options + listOf("-cp", classPath, source.toString()),
        )
    }

    private fun run(command: List<String>): Ended {
        val (out, err) = folder.resolve("out").toFile() to folder.resolve("err").toFile()
        val builder = ProcessBuilder(command).directory(folder.toFile()).redirectOutput(out).redirectError(err)
        builder.environment().keys -= setOf("LD_LIBRARY_PATH", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH")
        val process = builder.start()
        try {
            assertTrue(process.waitFor(120, TimeUnit.SECONDS), "$command did not end")
        } finally {
            process.destroyForcibly()
        }
        return Ended(process.exitValue(), out.readText(), err.readText())
    }

    /** All that JNA unpacked. */
    private fun leftovers(): List<String> = folder.resolve("temporary").listDirectoryEntries().map { it.name }

    private fun unpack(to: Path): Path = JarFile(JAR.toFile()).use { jar ->
        val library = to.createDirectories().resolve(System.mapLibraryName("epode_uniffi"))
        library.writeBytes(jar.getInputStream(jar.getJarEntry("$PLATFORM/${library.name}")).use { it.readBytes() })
        library
    }

    /** The jar with another library in it, or with none. */
    private fun changed(library: () -> Path?): Path {
        val copy = folder.resolve("changed.jar")
        JarFile(JAR.toFile()).use { jar ->
            JarOutputStream(copy.toFile().outputStream()).use { out ->
                for (entry in jar.entries()) {
                    val other = entry.name.startsWith("$PLATFORM/lib")
                    val bytes = if (other) Files.readAllBytes(library() ?: continue) else jar.getInputStream(entry).use { it.readBytes() }
                    out.putNextEntry(JarEntry(entry.name))
                    out.write(bytes)
                    out.closeEntry()
                }
            }
        }
        return copy
    }

    /** A library that has the names of ours, as far as [body] says, and does nothing of what ours does. */
    private fun other(body: String): Path {
        val library = folder.resolve("other.so")
        val source = folder.resolve("other.c")
        val names = run(listOf("nm", "--dynamic", "--defined-only", "--format=just-symbols", unpack(folder.resolve("names")).toString())).out
        source.writeText(names.lines().filter { "uniffi" in it }.joinToString("\n") { body.replace("NAME", it) } + "\nint of_no_use;\n")
        val compiled = run(listOf("cc", "-shared", "-fPIC", "-w", "-o", library.toString(), source.toString()))
        assertEquals(0, compiled.status, compiled.err)
        return library
    }

    companion object {
        private val JAR: Path = Path.of(
            System.getProperty("epode.jar") ?: throw AssertionError("run this by 'mvn verify': it needs the jar, named by the property epode.jar"),
        )
        private val DEPENDENCIES = System.getProperty("java.class.path").split(File.pathSeparator)
            .filter { entry -> listOf("jna-", "kotlinx-coroutines-core-jvm-", "kotlin-stdlib-").any { File(entry).name.startsWith(it) } }
        private val PLATFORM = com.sun.jna.Platform.RESOURCE_PREFIX

        /** Every function of the interface, with the contract that the classes want, and no checksum that they want. */
        private const val OTHER = "unsigned long NAME(void) { return 30; }"

        private const val PROGRAM = """
            public class Program {
                public static void main(String[] arguments) {
                    for (int turn = 0; turn < 2; turn++) {
                        try {
                            System.out.println(im.epode.Library.getVersion());
                            return;
                        } catch (IllegalStateException error) {
                            System.out.println(error.getClass().getSimpleName() + ": " + error.getMessage());
                        }
                    }
                }
            }
        """

        private fun current(): Path = Path.of(System.getProperty("java.home"), "bin", "java")

        /** This one, and every other JDK that stands beside it. */
        private fun javas(): List<Path> {
            val beside = Path.of(System.getProperty("java.home")).toRealPath().parent.listDirectoryEntries().map { it.resolve("bin/java") }
            return (listOf(current()) + beside.filter { it.exists() && it.resolveSibling("javac").exists() }).map(Path::toRealPath).distinct()
                .filter { major(it) >= 17 }
        }

        private fun major(java: Path): Int {
            val release = java.parent.parent.resolve("release").toFile().readLines().first { it.startsWith("JAVA_VERSION=") }
            return release.substringAfter('"').substringBefore('"').substringBefore('.').toInt()
        }
    }
}
