// What a client may leave behind: nothing. Counts the threads, and the sockets of this process, that are there.
package im.epode.world

import java.net.InetAddress
import java.net.ServerSocket
import java.net.Socket
import java.nio.file.Files
import java.nio.file.Path
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.delay
import kotlinx.coroutines.withTimeoutOrNull

object Left {
    init {
        // The JVM keeps one socket for itself from the first close on.
        ServerSocket(0, 1, InetAddress.getLoopbackAddress()).use { Socket(it.inetAddress, it.localPort).close() }
    }

    /** Threads that belong to a client: those of the JDK's HTTP client. Coroutines borrow theirs from a pool that everything shares. */
    fun threads(): List<String> =
        Thread.getAllStackTraces().keys.filter { it.isAlive && it.name.startsWith("HttpClient-") }.map { it.name }.sorted()

    /** Threads of the pool that are blocked in a socket. */
    fun blocked(): List<String> = Thread.getAllStackTraces()
        .filter { (thread, stack) -> thread.name.startsWith("DefaultDispatcher") && stack.any { "java.net.Socket" in it.className } }
        .map { (thread, _) -> thread.name }.sorted()

    /** TCP sockets of this process. */
    fun sockets(): Set<String> = Files.list(Path.of("/proc/self/fd")).use { descriptors ->
        descriptors.toList().mapNotNull { runCatching { Files.readSymbolicLink(it).toString() }.getOrNull() }
            .filter { it.startsWith("socket:") }.toSet()
    }

    /** What is there beyond what was there [before]; waits for it to be nothing. */
    suspend fun beyond(before: Set<String>): String {
        var left = ""
        withTimeoutOrNull(PATIENCE) {
            while (true) {
                left = ((sockets() - before) + threads() + blocked()).joinToString()
                if (left.isEmpty()) break
                delay(20.milliseconds)
            }
        }
        return left
    }

    /** Not a limit on speed: what is left behind stays. */
    private val PATIENCE = 10.seconds
}
