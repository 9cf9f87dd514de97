// The library, through its generated classes, as the driver calls it.
package im.epode.bench

import im.epode.engine.Client
import im.epode.engine.Config
import im.epode.engine.Credentials
import im.epode.engine.Event
import im.epode.engine.Input
import im.epode.engine.LinkInfo
import im.epode.engine.Output
import im.epode.engine.StanzaKind
import im.epode.engine.Step
import im.epode.engine.TcpTls
import im.epode.engine.Transport
import im.epode.engine.Verified
import im.epode.engine.epodeVersion
import java.nio.ByteBuffer

class EpodeRunner(workload: Workload) : Runner {
    private val now = workload.now
    private val link = workload.link
    private val client: Client

    /** As large as what is played needs; the driver keeps one for each link too. */
    private val buffer = ByteBuffer.allocateDirect(1 shl 20)

    init {
        val account = workload.client
        val transport = Transport.Tcp(Workload.text(account, "host"), Workload.text(account, "port").toUShort(), TcpTls.DIRECT)
        val config = Config(Workload.text(account, "jid"), Credentials.Certificate(Workload.text(account, "certificate"), null), listOf(transport))
        val seed = Workload.text(account, "seed").chunked(2).map { it.toInt(16).toByte() }.toByteArray()
        client = Client(config, ByteBuffer.allocateDirect(seed.size).put(seed).flip())
        client.handle(now, Input.Start)
        client.handle(now, Input.Connected(link, LinkInfo(encrypted = true, verified = Verified.Host(workload.verifiedName))))
        val events = workload.login.flatMap { turn(it.toByteArray()).outputs }.filterIsInstance<Output.Event>().map { it.event }
        check(events.any { it is Event.Online }) { "the login did not lead to a session: $events" }
    }

    private fun turn(bytes: ByteArray): Step = client.received(now, link, buffer.clear().put(bytes).flip())

    override fun play(stanza: ByteArray, together: Int, count: Int): Long {
        val bytes = ByteArray(stanza.size * together) { stanza[it % stanza.size] }
        var sum = 0L
        var events = 0
        repeat(count / together) {
            val step = turn(bytes)
            for (output in step.outputs) {
                val event = (output as? Output.Event)?.event as? Event.Stanza ?: continue
                sum += KINDS.getValue(event.stanza.kind).length + utf8(event.stanza.from) + utf8(event.stanza.body)
                events++
            }
            // As a driver: the deadline, and whether to read on.
            check(step.wantsRead && (step.deadline?.atMs ?: ULong.MAX_VALUE) > now)
        }
        check(events == count) { "$events events of $count stanzas" }
        return sum
    }

    override fun nop(count: Int): Boolean {
        repeat(count) { check(epodeVersion().isNotEmpty()) }
        return true
    }

    private companion object {
        val KINDS = mapOf(StanzaKind.MESSAGE to "message", StanzaKind.PRESENCE to "presence", StanzaKind.IQ to "iq")
    }
}
