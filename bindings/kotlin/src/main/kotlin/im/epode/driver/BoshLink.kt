// One BOSH link (XEP-0124): requests posted by java.net.http, each answered once.
package im.epode.driver

import im.epode.engine.TlsFacts
import java.net.URI
import java.net.http.HttpRequest
import java.util.concurrent.ConcurrentHashMap
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.isActive
import kotlinx.coroutines.joinAll
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

/** [binds]: a login by password is bound to the server's certificate, which has to be seen before the first request. */
internal class BoshLink(
    wire: Wire,
    parent: Job,
    private val opening: Opening,
    private val url: String,
    private val binds: Boolean,
) : Link(wire, parent) {
    private val http = Http(opening.tls)
    private val look = Dial()
    private val posts = ConcurrentHashMap<ULong, Job>()
    private val encrypted = url.startsWith("https:", ignoreCase = true)

    init {
        live { open() }
    }

    override fun post(request: ULong, body: ByteArray) {
        // What is launched undispatched begins in a cancelled scope too.
        if (closing || !scope.isActive) return
        val post = Http.request(url)
            .header("Content-Type", "text/xml; charset=utf-8")
            .POST(HttpRequest.BodyPublishers.ofByteArray(body))
            .build()
        // It is under way when this returns: the requests leave in the engine's order.
        val job = scope.launch(start = CoroutineStart.UNDISPATCHED) { exchange(request, post) }
        posts[request] = job
        job.invokeOnCompletion { posts.remove(request, job) }
    }

    override fun abandon(request: ULong) {
        posts.remove(request)?.cancel()
    }

    /** What was posted already, a goodbye for example, should leave this machine. */
    override suspend fun goodbye() {
        look.close()
        posts.values.toList().joinAll()
    }

    override fun release() {
        look.close()
        http.close()
    }

    private suspend fun open() {
        val seen = if (encrypted && binds) withContext(Dispatchers.IO) { look() } else null
        val info = info(seen, opening.serverName, bosh = true)
        wire.connected(
            if (encrypted) info.copy(encrypted = true, verified = im.epode.engine.Verified.Host(opening.serverName)) else info,
        )
    }

    /** A connection of its own, without a request. All later ones of this link have to show the same certificate. */
    private fun look(): Seen {
        val address = URI.create(url)
        val port = if (address.port == -1) HTTPS else address.port
        val host = address.host.removePrefix("[").removeSuffix("]")
        val raw = look.connect(host, port)
        opening.tls.over(raw, opening.serverName, null).use { secured ->
            secured.startHandshake()
            return opening.tls.seen(secured)
        }
    }

    private suspend fun exchange(request: ULong, post: HttpRequest) {
        try {
            val answer = http.send(post, opening.maxMessage)
            untilReadable()
            if (closing) return
            val facts = answer.sslSession().map { opening.tls.seen(it) }.orElse(null)
            wire.responded(request, answer.statusCode(), answer.body(), facts?.let {
                TlsFacts(it.version, it.serverSha256, it.clientCertificateRequested)
            })
        } catch (error: CancellationException) {
            throw error
        } catch (error: Exception) {
            if (!closing) wire.failed(failureOf(error), request)
        }
    }

    private companion object {
        const val HTTPS = 443
    }
}
