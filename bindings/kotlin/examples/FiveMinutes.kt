// What the README shows: a test holds the two together and runs this one.
package im.epode.examples

import im.epode.Epode
import im.epode.Message
import im.epode.Online
import java.nio.file.Path
import kotlinx.coroutines.flow.first

suspend fun noteToMyself(jid: String, url: String, certificate: Path, passphrase: CharArray, authorities: Path): String? {
    val client = Epode.connect(jid) {
        websocket(url)
        certificate(certificate, passphrase)
        authorities(authorities)
    }
    return client.use {
        client.sendMessage(jid, "A note to myself")
        val last = client.events.first { event ->
            when (event) {
                is Online -> println("online as ${event.jid} by ${event.mechanism}")
                is Message -> println("${event.from} says: ${event.body}")
                else -> {}
            }
            event is Message && event.body != null
        }
        (last as Message).body
    }
}
