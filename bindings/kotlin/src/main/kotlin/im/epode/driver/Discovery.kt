// What the engine asks of DNS: SRV records (RFC 2782), through the JDK's own client.
package im.epode.driver

import im.epode.engine.SrvRecord
import java.util.Hashtable
import javax.naming.Context
import javax.naming.NameNotFoundException
import javax.naming.NamingException
import javax.naming.directory.InitialDirContext

/** Asks name servers. [server] is `host:port` of one; null, those of the system. */
internal class Resolver(private val server: String?) {
    /** The SRV records of [name]; none, where it has none or does not exist. Blocks; bounded by the tries. Throws [NamingException]. */
    fun srv(name: String): List<SrvRecord> {
        val settings = Hashtable<String, String>()
        settings[Context.INITIAL_CONTEXT_FACTORY] = "com.sun.jndi.dns.DnsContextFactory"
        settings[Context.PROVIDER_URL] = if (server == null) "dns:" else "dns://$server"
        // The wait doubles with each try: 1 + 2 + 4 seconds for each name server.
        settings["com.sun.jndi.dns.timeout.initial"] = "1000"
        settings["com.sun.jndi.dns.timeout.retries"] = "3"
        val context = InitialDirContext(settings)
        try {
            // The name is whole: no search list of the system's applies to it.
            val records = context.getAttributes("${name.trimEnd('.')}.", arrayOf("SRV")).get("SRV") ?: return emptyList()
            return records.all.asSequence().mapNotNull { record(it.toString()) }.toList()
        } catch (_: NameNotFoundException) {
            return emptyList()
        } finally {
            context.close()
        }
    }

    private fun record(text: String): SrvRecord? {
        val fields = text.split(' ')
        if (fields.size != FIELDS) return null
        return SrvRecord(
            priority = fields[0].toUShortOrNull() ?: return null,
            weight = fields[1].toUShortOrNull() ?: return null,
            port = fields[2].toUShortOrNull() ?: return null,
            // A lone dot is what says that there is no such service.
            target = fields[3].trimEnd('.').ifEmpty { "." },
        )
    }

    private companion object {
        const val FIELDS = 4
    }
}
