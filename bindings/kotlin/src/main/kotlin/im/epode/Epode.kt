// Where an application begins.
package im.epode

import java.util.concurrent.CompletableFuture

/** Makes clients. */
public object Epode {
    /** The version of this library. */
    @JvmField
    public val VERSION: String = Library.VERSION

    /**
     * Logs in to the account [jid], and gives a client that is online.
     *
     * Throws [ConfigurationException] for what cannot work, and a [WentOfflineException] that says who is to blame where the login fails.
     * Cancelling it closes everything that it has opened.
     */
    @JvmSynthetic
    public suspend fun connect(jid: String, configure: ClientBuilder.() -> Unit): Client {
        val client = builder(jid).apply(configure).open()
        client.untilOnline()
        return client
    }

    /** To be configured by a chain of calls. */
    @JvmStatic
    public fun builder(jid: String): ClientBuilder = ClientBuilder(jid)

    /** For Java: as [connect]. Cancelling the future closes everything that was opened. */
    @JvmStatic
    public fun connect(builder: ClientBuilder): CompletableFuture<FutureClient> = whenOnline(builder.open())
}
