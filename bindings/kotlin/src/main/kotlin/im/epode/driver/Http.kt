// java.net.http as XMPP needs it: one client for each link, bodies with a limit, and an end that leaves nothing behind.
package im.epode.driver

import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import java.nio.ByteBuffer
import java.time.Duration
import java.util.concurrent.CompletableFuture
import java.util.concurrent.CompletionStage
import java.util.concurrent.Executor
import java.util.concurrent.Flow
import kotlin.coroutines.resume
import kotlin.coroutines.resumeWithException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.asExecutor
import kotlinx.coroutines.suspendCancellableCoroutine

/** The HTTP client of one link. */
internal class Http(tls: LinkTls) {
    val client: HttpClient = HttpClient.newBuilder()
        .version(HttpClient.Version.HTTP_1_1)
        .followRedirects(HttpClient.Redirect.NEVER)
        // Neither the environment's nor the system's.
        .proxy(HttpClient.Builder.NO_PROXY)
        .sslContext(tls.context)
        .sslParameters(tls.parameters)
        .executor(EXECUTOR)
        .build()

    /** Sends the request. Cancelling gives the connection up. */
    suspend fun send(request: HttpRequest, maxBody: ULong): HttpResponse<ByteArray> =
        wait(client.sendAsync(request) { head -> Bounded(head, maxBody) })

    /** Closes all connections at once. */
    fun close() {
        if (SHUTDOWN != null) {
            SHUTDOWN.invoke(client)
            return
        }
        // JDK 17 to 20 close a client when the garbage collector finds it. Its one thread, interrupted, does so now.
        val name = CLIENT_NUMBER.find(client.toString())?.let { "HttpClient-${it.groupValues[1]}-SelectorManager" }
        allThreads().find { it.name == name }?.interrupt()
    }

    companion object {
        private val EXECUTOR: Executor = Dispatchers.IO.asExecutor()
        private val CLIENT_NUMBER = Regex("\\(([0-9]+)\\)$")

        /** JDK 21 and later. */
        private val SHUTDOWN = try {
            HttpClient::class.java.getMethod("shutdownNow")
        } catch (_: NoSuchMethodException) {
            null
        }

        fun request(url: String): HttpRequest.Builder = HttpRequest.newBuilder(URI.create(url))

        private fun allThreads(): List<Thread> {
            var group = Thread.currentThread().threadGroup
            while (group.parent != null) group = group.parent
            var threads = arrayOfNulls<Thread>(group.activeCount() + 16)
            // The count is an estimate: what does not fit is left out in silence.
            while (group.enumerate(threads) == threads.size) threads = arrayOfNulls(threads.size * 2)
            return threads.filterNotNull()
        }
    }
}

/** Waits for a future of java.net.http. Cancelling cancels what it stands for: that needs `cancel(true)`. */
internal suspend fun <T> wait(future: CompletableFuture<T>): T = suspendCancellableCoroutine { waiting ->
    future.whenComplete { value, error ->
        if (error == null) waiting.resume(value) else waiting.resumeWithException(error)
    }
    waiting.invokeOnCancellation { future.cancel(true) }
}

/** A document by GET over verified HTTPS (XEP-0156 §4). */
internal suspend fun document(tls: LinkTls, url: String, maxBytes: ULong, patience: Duration): ByteArray {
    if (!url.startsWith("https://")) {
        throw BadAnswer("\"$url\" is not a URL of https: a document that anybody could have written says nothing")
    }
    val http = Http(tls)
    try {
        val answer = http.send(Http.request(url).timeout(patience).GET().build(), maxBytes)
        if (answer.statusCode() != OK) throw BadAnswer("its status is ${answer.statusCode()}")
        return answer.body()
    } finally {
        http.close()
    }
}

private const val OK = 200

/** A body in memory, and never more of it than the limit. */
private class Bounded(private val head: HttpResponse.ResponseInfo, private val max: ULong) :
    HttpResponse.BodySubscriber<ByteArray> {
    private val body = CompletableFuture<ByteArray>()
    private var whole = ByteArray(0)
    private var size = 0
    private lateinit var subscription: Flow.Subscription

    override fun getBody(): CompletionStage<ByteArray> = body

    override fun onSubscribe(subscription: Flow.Subscription) {
        this.subscription = subscription
        val coding = head.headers().firstValue("content-encoding").orElse("identity")
        val announced = head.headers().firstValueAsLong("content-length").orElse(0)
        if (!coding.equals("identity", ignoreCase = true)) return refuse("it is compressed, which was not asked for")
        if (announced.toULong() > max) return tooLarge()
        whole = ByteArray(minOf(announced, FIRST).toInt())
        subscription.request(1)
    }

    override fun onNext(buffers: List<ByteBuffer>) {
        if (body.isDone) return
        val more = buffers.sumOf { it.remaining() }
        if ((size.toLong() + more).toULong() > max) return tooLarge()
        if (size + more > whole.size) whole = whole.copyOf(maxOf(size + more, whole.size * 2))
        for (buffer in buffers) {
            val count = buffer.remaining()
            buffer.get(whole, size, count)
            size += count
        }
        subscription.request(1)
    }

    override fun onError(error: Throwable) {
        body.completeExceptionally(error)
    }

    override fun onComplete() {
        body.complete(if (size == whole.size) whole else whole.copyOf(size))
    }

    private fun tooLarge() = refuse("it is larger than $max bytes")

    private fun refuse(why: String) {
        subscription.cancel()
        body.completeExceptionally(BadAnswer(why))
    }

    private companion object {
        /** What is set aside for a body before it is there: no more than this, whatever is announced. */
        const val FIRST = 64L * 1024
    }
}
