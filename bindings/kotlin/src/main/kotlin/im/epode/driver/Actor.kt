// The one coroutine that owns the engine: it feeds inputs, carries out outputs in order, and keeps the deadline.
package im.epode.driver

import im.epode.Blame
import im.epode.Delivery
import im.epode.EpodeException
import im.epode.Interrupted
import im.epode.NotOnlineException
import im.epode.Offline
import im.epode.Online
import im.epode.Stage
import im.epode.Stanza
import im.epode.Task
import im.epode.engine.Client as Engine
import im.epode.engine.Deadline
import im.epode.engine.Endpoint
import im.epode.engine.Failure
import im.epode.engine.Input
import im.epode.engine.InternalException
import im.epode.engine.IqResult
import im.epode.engine.LinkInfo
import im.epode.engine.Output
import im.epode.engine.Question
import im.epode.engine.Refused
import im.epode.engine.Reply
import im.epode.engine.Resolution
import im.epode.engine.Step
import im.epode.engine.TlsFacts
import im.epode.engine.Event as EngineEvent
import java.io.IOException
import java.nio.ByteBuffer
import java.time.Duration
import javax.net.ssl.X509ExtendedTrustManager
import javax.naming.NamingException
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineExceptionHandler
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.DelicateCoroutinesApi
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.completeWith
import kotlinx.coroutines.delay
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.update
import kotlinx.coroutines.job
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import kotlinx.coroutines.withTimeoutOrNull

/** What the application decided that concerns the driver and not the engine. */
internal class Environment(
    val identity: Identity?,
    val trust: X509ExtendedTrustManager,
    val resolver: Resolver,
    /** A login is bound to the connection, where it can be. */
    val binds: Boolean,
    /** Initial presence is sent after each login. */
    val available: Boolean,
    val tasks: Map<String, suspend (Task) -> ByteArray?>,
    val state: StateFolder?,
    val protocols: Array<String>,
    val seen: (LinkInfo) -> Unit,
)

/** Everything without a word on threads belongs to the one coroutine. */
internal class Actor(private val engine: Engine, private val environment: Environment, parent: Job?) {
    private class Turn(val run: () -> Unit, val dropped: () -> Unit)

    private val job = SupervisorJob(parent)

    /** No two at a time; file I/O is done here, so it is one of the threads that may block. */
    private val scope = CoroutineScope(
        job + Dispatchers.IO.limitedParallelism(1) + CoroutineExceptionHandler { _, error -> post { fault(error) } },
    )
    private val inbox = Channel<Turn>(Channel.UNLIMITED)
    private val room = MutableStateFlow(0L)
    private val clock = Clock()
    private var direct = ByteBuffer.allocateDirect(DIRECT)
    private val outputs = ArrayDeque<Output>()
    private var working = false
    private val links = HashMap<ULong, Link>()
    private val leaving = mutableListOf<Link>()
    private val answers = HashMap<ULong, CompletableDeferred<IqResult>>()
    private val own = HashSet<Long>()
    private var wantsRead = true
    private var reading = true
    private var deadline: Deadline? = null
    private var timer: Job? = null
    private var armedFor = ULong.MAX_VALUE
    private var clockToldAt: ULong? = null
    private var unannounced = false
    private var derived: ByteArray? = null

    /** What the application does for the login that is under way. */
    private var task: Job? = null

    /** Any thread. */
    val events: EventQueue = EventQueue { post { hasRoom() } }

    /** Completed at the first login; any thread. */
    val online: CompletableDeferred<Unit> = CompletableDeferred()

    /** Completed at the end; any thread. */
    val offline: CompletableDeferred<Offline> = CompletableDeferred()

    /** Completed when no connection is left; any thread. */
    val gone: CompletableDeferred<Unit> = CompletableDeferred()

    /** Why the application's own part failed, which is what it wants to hear of then; any thread. */
    @Volatile
    var failed: Throwable? = null
        private set

    /** What [offline] was completed with; any thread. */
    @Volatile
    var ended: Offline? = null
        private set

    @Volatile
    var jid: String? = null
        private set

    @Volatile
    var scramKey: ByteArray? = null
        private set

    /** Begins. Any thread, once. */
    @OptIn(DelicateCoroutinesApi::class)
    fun start() {
        post {
            tellTime()
            feed(Input.Start)
        }
        // Also where the parent is cancelled already: the end has to come.
        scope.launch(start = CoroutineStart.ATOMIC) { run() }
    }

    /** Ends at once, without a goodbye. Any thread. */
    fun cancel() {
        job.cancel()
    }

    /** Runs [work] as a turn and gives what it gives. Any thread. Throws [NotOnlineException] once the session is over. */
    suspend fun <T> call(work: () -> T): T {
        val reply = CompletableDeferred<T>()
        val taken = inbox.trySend(
            Turn({ reply.completeWith(runCatching(work).onFailure { if (it is Error) fault(it) }) }, { reply.completeExceptionally(NotOnlineException(NOT_ONLINE)) }),
        )
        if (!taken.isSuccess) throw NotOnlineException(NOT_ONLINE)
        return reply.await()
    }

    /** Runs [work] as a turn soon; never waits. Any thread. */
    fun post(dropped: () -> Unit = {}, work: () -> Unit): Boolean = inbox.trySend(Turn(work, dropped)).isSuccess

    /** Feeds an input of the application's. */
    fun tell(input: Input): ULong? = try {
        feed(input)
    } catch (refused: Refused) {
        throw refused(refused)
    }

    /** Answers a request. */
    fun respond(token: ULong, reply: Reply) {
        try {
            feed(Input.Respond(token, reply))
        } catch (_: Refused.Misuse) {
            throw NotOnlineException("this request cannot be answered any more: it was answered already, or its session is over")
        } catch (refused: Refused) {
            throw refused(refused)
        }
    }

    /** Sends, once there is room. Any thread. [before] gets the token before anything can come of it. */
    suspend fun send(input: Input, before: (ULong) -> Unit = {}): ULong {
        while (true) {
            val seen = room.value
            val token = call {
                if (!events.mayWrite()) {
                    if (!events.collected) throw EpodeException(NOBODY_COLLECTS)
                    return@call null
                }
                try {
                    feed(input, before) ?: throw NotOnlineException(NOT_ONLINE)
                } catch (_: Refused.Full) {
                    // The server's acknowledgements are not read either.
                    if (!reading && !events.collected) throw EpodeException(NOBODY_COLLECTS)
                    null
                } catch (refused: Refused) {
                    throw refused(refused)
                }
            }
            if (token != null) return token
            room.first { it != seen }
        }
    }

    /** Sends a request and waits for how it ends; cancelling cancels the request. Any thread. */
    suspend fun request(input: Input): IqResult {
        val answer = CompletableDeferred<IqResult>()
        // Of the turns only.
        var sent: ULong? = null
        try {
            send(input) { token ->
                answers[token] = answer
                sent = token
            }
            return answer.await()
        } catch (error: CancellationException) {
            // The turn that sends it may be still to come: this one comes after it.
            post { sent?.let { if (answers.remove(it) != null) news(Input.Cancel(it)) } }
            throw error
        }
    }

    private suspend fun run() {
        try {
            for (turn in inbox) {
                try {
                    turn.run()
                } catch (error: Throwable) {
                    fault(error)
                }
                if (offline.isCompleted) break
            }
            withTimeoutOrNull(GOODBYE) { (leaving + links.values).forEach { it.join() } }
        } finally {
            withContext(NonCancellable) { finish() }
        }
    }

    /** Whatever happened: the end is told, and nothing is left. */
    private suspend fun finish() {
        end(Offline(Blame.STOPPED, "stopped", "offline: the scope of the client was cancelled"))
        inbox.close()
        while (true) (inbox.tryReceive().getOrNull() ?: break).dropped()
        val left = leaving + links.values
        left.forEach { it.abort() }
        withTimeoutOrNull(GOODBYE) { left.forEach { it.join() } }
        engine.close()
        gone.complete(Unit)
        // Questions to DNS and derivations of keys end by themselves, and nobody waits for them.
        job.cancel()
    }

    private fun feed(input: Input, before: (ULong) -> Unit = {}): ULong? {
        if (offline.isCompleted) throw NotOnlineException(NOT_ONLINE)
        return took(before) { engine.handle(clock.now(), input) }
    }

    private inline fun took(before: (ULong) -> Unit = {}, turn: () -> Step): ULong? {
        val step = try {
            turn()
        } catch (_: InternalException) {
            // Nothing that the engine would say can be relied on, and what a panic says can quote what it was about.
            outputs.clear()
            end(Offline(Blame.INTERNAL, "panic", "a fault of epode's own: please report what led to it"))
            return null
        }
        step.token?.let(before)
        wantsRead = step.wantsRead
        deadline = step.deadline
        outputs.addAll(step.outputs)
        carryOut()
        judgeReading()
        arm()
        return step.token
    }

    /** For inputs that this driver gives only where the contract has them. */
    private fun news(input: Input) {
        if (offline.isCompleted) return
        try {
            feed(input)
        } catch (refused: Refused) {
            fault(refused(refused))
        }
    }

    /** Of an Error too, a class that is missing for example: what the turn had yet to do is not done. */
    private fun fault(error: Throwable) {
        outputs.clear()
        end(Offline(Blame.INTERNAL, "fault", "a fault of epode's own, please report it: $error"))
    }

    private fun carryOut() {
        // An output may cause an input, whose outputs come after those that wait already.
        if (working) return
        working = true
        try {
            while (true) obey(outputs.removeFirstOrNull() ?: break)
        } finally {
            working = false
        }
    }

    private fun obey(output: Output) {
        when (output) {
            is Output.Event -> happened(output.event)
            is Output.Write -> links[output.link]?.write(output.bytes)
            is Output.Frame -> links[output.link]?.frame(output.text)
            is Output.Post -> links[output.link]?.post(output.request, output.body)
            is Output.Abandon -> links[output.link]?.abandon(output.request)
            is Output.StartTls -> links[output.link]?.startTls(output.serverName)
            is Output.Connect -> open(output)
            is Output.Close -> links.remove(output.link)?.let { leave(it) }
            is Output.Store -> store(output)
            is Output.DeriveKey -> derive(output)
            is Output.Resolve -> resolve(output)
        }
    }

    private fun open(connect: Output.Connect) {
        val identity = if (connect.identity == null) null else environment.identity
        val bosh = connect.endpoint is Endpoint.Bosh
        val link = try {
            val tls = LinkTls(identity, environment.trust, environment.protocols, pinned = bosh)
            val opening = Opening(connect.serverName, identity, connect.maxMessage, tls)
            val wire = LinkWire(connect.link)
            when (val endpoint = connect.endpoint) {
                is Endpoint.Tcp -> TcpLink(wire, job, opening, endpoint.host, endpoint.port.toInt(), endpoint.tls)
                is Endpoint.WebSocket -> WebSocketLink(wire, job, opening, endpoint.url)
                is Endpoint.Bosh -> BoshLink(wire, job, opening, endpoint.url, environment.binds)
            }
        } catch (error: Exception) {
            news(Input.Failed(connect.link, null, failureOf(error)))
            return
        }
        links[connect.link] = link
        if (!reading) {
            // A slow application is slow on the next link too.
            link.reading(false)
            news(Input.Reading(connect.link, false))
        }
    }

    private fun leave(link: Link) {
        leaving.add(link)
        link.close()
        scope.launch {
            link.join()
            leaving.remove(link)
        }
    }

    private fun store(store: Output.Store) {
        val state = environment.state ?: return
        try {
            state.write(store.slot, store.append, store.bytes)
        } catch (error: IOException) {
            // What follows may be done only once this is stored.
            outputs.clear()
            val why = "what logs in again cannot be stored (${error.message}), so nothing more was sent: make room for it, and start again"
            end(Offline(Blame.STOPPED, "store", why))
        }
    }

    private fun derive(output: Output.DeriveKey) {
        scope.launch(Dispatchers.Default) {
            val (key, bytes) = output.derivation.use { it.run().let { key -> Pair(key, key.toBytes()) } }
            val taken = post({ key.close() }) {
                derived = bytes
                key.use { news(Input.Derived(output.job, it)) }
            }
            if (!taken) key.close()
        }
    }

    private fun resolve(resolve: Output.Resolve) {
        val left = resolve.deadlineMs.toLong() - clock.now().toLong() + PATIENCE_MS
        scope.launch(Dispatchers.IO) {
            val resolution = try {
                when (val question = resolve.question) {
                    is Question.Srv -> Resolution.Records(environment.resolver.srv(question.name))
                    is Question.Document -> Resolution.Document(
                        // No client certificate: whoever serves the document has no need to know who asks.
                        document(
                            LinkTls(null, environment.trust, environment.protocols, pinned = false),
                            question.url,
                            question.maxBytes,
                            Duration.ofMillis(maxOf(left, 1)),
                        ),
                    )
                }
            } catch (error: CancellationException) {
                throw error
            } catch (_: NamingException) {
                Resolution.Failed(Failure.Dns)
            } catch (error: Exception) {
                Resolution.Failed(failureOf(error))
            }
            post { news(Input.Resolved(resolve.query, resolution)) }
        }
    }

    private fun happened(event: EngineEvent) {
        when (event) {
            is EngineEvent.IqDone -> answers.remove(event.token)?.complete(event.result)
            is EngineEvent.Task -> doTask(task(event))
            EngineEvent.Writable -> hasRoom()
            else -> event(event, clock.now())?.let { deliver(it) }
        }
    }

    private fun deliver(event: im.epode.Event) {
        when (event) {
            is Delivery -> if (event.token in own) {
                // Its delivery is nobody's business.
                if (event.stage == Stage.ACKED || event.stage == Stage.FAILED) own.remove(event.token)
                return
            }
            is Offline -> return end(event)
            is Interrupted -> {
                jid = null
                dropTask()
            }
            is Online -> {
                dropTask()
                jid = event.jid
                // The key was right.
                scramKey = derived ?: scramKey
                derived = null
            }
            else -> {}
        }
        events.put(event)
        if (event is Online) {
            online.complete(Unit)
            // A session that goes on has its presence already.
            if (environment.available && !event.resumed) announce()
        }
        if (event is Stanza) judgeReading()
    }

    private fun announce() {
        unannounced = false
        try {
            feed(Input.Send(PRESENCE)) { own.add(it.toLong()) }
        } catch (_: Refused.Full) {
            // What the application sent while there was no session goes first.
            unannounced = true
        } catch (_: Refused.NotStarted) {
            // Interrupted meanwhile: it is announced after the next login.
        }
    }

    private fun doTask(task: Task) {
        val handler = environment.tasks[task.task]
        dropTask()
        this.task = scope.launch(Dispatchers.Default) {
            val own = coroutineContext.job
            val payload = runCatching { checkNotNull(handler) { "nobody does the task ${task.task}" }(task) }
            // Who was cancelled has no say; a handler may fail with a cancellation of its own.
            ensureActive()
            post {
                // Once it is dropped, its answer is of another login, or nobody waits for it.
                if (this@Actor.task === own) {
                    this@Actor.task = null
                    taskDone(payload)
                }
            }
        }
    }

    private fun taskDone(payload: Result<ByteArray?>) {
        val failure = payload.exceptionOrNull() ?: try {
            feed(Input.Task(payload.getOrThrow()))
            return
        } catch (_: NotOnlineException) {
            return
        } catch (_: Refused.Misuse) {
            // Too late: the login that asked is over, and nothing has been said of another one yet.
            return
        } catch (refused: Refused) {
            refused(refused)
        }
        failed = failure
        news(Input.Stop)
    }

    private fun dropTask() {
        task?.cancel()
        task = null
    }

    private fun hasRoom() {
        if (offline.isCompleted) return
        judgeReading()
        room.update { it + 1 }
        if (unannounced) announce()
    }

    /** A slow application makes the driver stop reading, and the engine stop its clocks, or the server would look dead. */
    private fun judgeReading() {
        if (offline.isCompleted) return
        val now = wantsRead && events.mayRead(reading)
        if (now == reading) return
        reading = now
        for ((id, link) in links.toMap()) {
            link.reading(now)
            news(Input.Reading(id, now))
        }
    }

    private fun tellTime() {
        clockToldAt = clock.now()
        news(Input.Clock(System.currentTimeMillis().toULong()))
    }

    /** A timer that is early is harmless, and one that is there already is not made again for a later moment. */
    private fun arm() {
        if (offline.isCompleted) return
        val now = clock.now()
        // The timer stands still while the device sleeps, and the engine's clock does not.
        val at = minOf(deadline?.atMs ?: ULong.MAX_VALUE, now + LONGEST_SLEEP_MS)
        if (timer != null && armedFor <= at) return
        timer?.cancel()
        armedFor = at
        val wait = if (at > now) (at - now).toLong() else 0
        timer = scope.launch {
            delay(wait.milliseconds)
            post { woken() }
        }
    }

    private fun woken() {
        timer = null
        if (offline.isCompleted) return
        val now = clock.now()
        if (now - (clockToldAt ?: 0u) > CLOCK_EVERY_MS) tellTime()
        if ((deadline?.atMs ?: ULong.MAX_VALUE) <= now) news(Input.Tick)
        arm()
    }

    private fun end(reason: Offline) {
        if (offline.isCompleted) return
        ended = reason
        offline.complete(reason)
        timer?.cancel()
        dropTask()
        jid = null
        events.put(reason)
        events.end()
        answers.values.forEach { it.complete(IqResult.Disconnected) }
        answers.clear()
        room.update { it + 1 }
        // What is still connected has nothing more to do.
        links.values.toList().forEach { leave(it) }
        links.clear()
        // The loop may be waiting for a turn.
        post {}
    }

    private fun borrow(bytes: ByteArray, length: Int): ByteBuffer {
        if (direct.capacity() < length) direct = ByteBuffer.allocateDirect(length)
        direct.clear()
        direct.put(bytes, 0, length)
        direct.flip()
        return direct
    }

    /** A long answer does not stay for the life of the client. */
    private fun giveBack() {
        if (direct.capacity() > KEPT) direct = ByteBuffer.allocateDirect(DIRECT)
    }

    private inner class LinkWire(private val link: ULong) : Wire {
        override suspend fun received(bytes: ByteArray, length: Int) = arrive {
            took { engine.received(clock.now(), link, borrow(bytes, length)) }
            giveBack()
        }

        override suspend fun responded(request: ULong, status: Int, body: ByteArray, tls: TlsFacts?) = arrive {
            took { engine.responded(clock.now(), link, request, status.toUShort(), borrow(body, body.size), tls) }
            giveBack()
        }

        override suspend fun connected(info: LinkInfo) = arrive {
            environment.seen(info)
            news(Input.Connected(link, info))
        }

        override suspend fun ended() = arrive { over(Input.Ended(link)) }

        override suspend fun failed(reason: Failure, request: ULong?) = arrive {
            if (request == null) over(Input.Failed(link, null, reason)) else news(Input.Failed(link, request, reason))
        }

        override fun written(bytes: Int) {
            post { if (link in links) news(Input.Written(link, bytes.toULong())) }
        }

        /** Nothing more will come of it. */
        private fun over(input: Input) {
            links.remove(link)?.let { leave(it) }
            news(input)
        }

        private suspend fun arrive(turn: () -> Unit) {
            try {
                // What a link says after the engine has closed it is nobody's.
                call {
                    if (link in links && !offline.isCompleted) {
                        try {
                            turn()
                        } catch (refused: Refused) {
                            fault(refused(refused))
                        } catch (error: Throwable) {
                            fault(error)
                        }
                    }
                }
            } catch (_: NotOnlineException) {
                // The session is over, and so is the link.
            }
        }
    }

    private companion object {
        val PRESENCE = "<presence xmlns='jabber:client'/>".encodeToByteArray()

        /** How long the links may take to end after the session has. */
        val GOODBYE = 3.seconds

        /** What the engine reads arrives here: a TCP reader brings 16 KiB at most. */
        const val DIRECT = 16 * 1024
        const val KEPT = 1024 * 1024
        const val NOBODY_COLLECTS = "not sent: too many events wait, and nobody has taken any: collect them, also where you only send"
        val LONGEST_SLEEP_MS = 30_000u.toULong()
        val CLOCK_EVERY_MS = 3_600_000u.toULong()

        /** How long after its deadline a question is given up: the engine has gone on by then, and not because of this. */
        const val PATIENCE_MS = 1_000L
    }
}
