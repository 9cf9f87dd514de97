// Answers each chat message with its own text. Logs in by the certificate in a PKCS#12 file, whose pass phrase is EPODE_PASSPHRASE.
package im.epode.examples

import im.epode.Epode
import im.epode.Message
import im.epode.Offline
import im.epode.Online
import java.nio.file.Path

suspend fun main(arguments: Array<String>) {
    val (jid, url, certificate, authorities) = arguments
    val bot = Epode.connect(jid) {
        websocket(url)
        certificate(Path.of(certificate), System.getenv("EPODE_PASSPHRASE")?.toCharArray())
        authorities(Path.of(authorities))
    }
    bot.use {
        bot.events.collect { event ->
            when (event) {
                is Online -> println("online as ${event.jid}")
                is Message -> {
                    val sender = event.from
                    val text = event.body
                    // Errors are not answered, or two bots would never end.
                    if (sender != null && text != null && event.type == "chat") bot.sendMessage(sender, text)
                }
                is Offline -> println(event.sentence)
                else -> {}
            }
        }
    }
}
