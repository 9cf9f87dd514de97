// Smack: its parser on the stream, its stanzas, and one of its collectors, as its own TCP connection uses them; without the socket.
package im.epode.bench

import java.io.InputStream
import org.jivesoftware.smack.AbstractXMPPConnection
import org.jivesoftware.smack.ConnectionConfiguration
import org.jivesoftware.smack.SmackConfiguration
import org.jivesoftware.smack.StanzaCollector
import org.jivesoftware.smack.filter.StanzaTypeFilter
import org.jivesoftware.smack.packet.Message
import org.jivesoftware.smack.packet.Nonza
import org.jivesoftware.smack.packet.Stanza
import org.jivesoftware.smack.packet.TopLevelStreamElement
import org.jivesoftware.smack.xml.SmackXmlParser
import org.jivesoftware.smack.xml.XmlPullParser
import org.jxmpp.jid.parts.Resourcepart

class SmackRunner(workload: Workload) : Runner {
    private val connection = Connection(workload.login.first().substringAfter("?>").toByteArray())

    override fun play(stanza: ByteArray, together: Int, count: Int): Long {
        val bytes = ByteArray(stanza.size * together) { stanza[it % stanza.size] }
        var sum = 0L
        repeat(count / together) {
            connection.read(bytes, together)
            repeat(together) {
                val message = connection.collector.pollResult<Message>() ?: throw IllegalStateException("a stanza is missing")
                sum += "message".length + utf8(message.from?.toString()) + utf8(message.body)
            }
        }
        return sum
    }

    override fun nop(count: Int): Boolean = false
}

/** What a socket would give: at most what has arrived by now. */
private class Arrived(private var bytes: ByteArray) : InputStream() {
    private var at = 0

    fun more(bytes: ByteArray) {
        check(at == this.bytes.size) { "the parser has not read everything" }
        this.bytes = bytes
        at = 0
    }

    override fun read(): Int = throw UnsupportedOperationException("one byte at a time")

    override fun read(into: ByteArray, offset: Int, length: Int): Int {
        if (at == bytes.size) return 0
        val count = minOf(length, bytes.size - at)
        bytes.copyInto(into, offset, at, at + count)
        at += count
        return count
    }
}

private class Configuration(builder: Builder) : ConnectionConfiguration(builder) {
    class Builder : ConnectionConfiguration.Builder<Builder, Configuration>() {
        override fun getThis(): Builder = this

        override fun build(): Configuration = Configuration(this)
    }
}

private class Connection(header: ByteArray) :
    AbstractXMPPConnection(Configuration.Builder().setXmppDomain("example.org").setUsernameAndPassword("user", "of no use").build()) {
    private val arrived = Arrived(header)
    private val parser = SmackXmlParser.newXmlParser(arrived.reader())
    val collector: StanzaCollector = createStanzaCollector(StanzaTypeFilter.MESSAGE)

    init {
        while (parser.next() != XmlPullParser.Event.START_ELEMENT) continue
        onStreamOpen(parser)
    }

    /** As the loop of Smack's TCP connection. */
    fun read(bytes: ByteArray, stanzas: Int) {
        arrived.more(bytes)
        repeat(stanzas) {
            while (parser.next() != XmlPullParser.Event.START_ELEMENT) continue
            parseAndProcessStanza(parser)
        }
    }

    override fun isSecureConnection() = true

    override fun isUsingCompression() = false

    override fun sendStanzaInternal(packet: Stanza) = Unit

    override fun sendNonza(element: Nonza) = Unit

    override fun connectInternal() = Unit

    override fun loginInternal(username: String?, password: String?, resource: Resourcepart?) = Unit

    override fun shutdown() = Unit

    override fun instantShutdown() = Unit
}
