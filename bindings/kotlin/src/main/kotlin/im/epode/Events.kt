// What happens, as one sealed type to match on. All text in it comes from others and is not to be trusted.
package im.epode

import java.io.ByteArrayInputStream
import java.time.Duration
import javax.xml.XMLConstants
import javax.xml.parsers.DocumentBuilderFactory
import org.w3c.dom.Element

/** News for the application: [Online] is the first after a login, [Offline] the last of all. */
public sealed interface Event

/** What has arrived from others. While 1,000 of these wait for the application, nothing more is read from the server. */
public sealed interface Stanza : Event {
    /** The attribute `from`, which the server vouches for. */
    public val from: String?
    public val to: String?

    /** The attribute `type`. */
    public val type: String?
    public val id: String?

    /** The whole stanza. */
    public val xml: Xml
}

/** A message (RFC 6121 §5). [body] is its text; many messages have none. */
public data class Message(
    override val from: String?,
    override val to: String?,
    override val type: String?,
    override val id: String?,
    override val xml: Xml,
    val body: String?,
) : Stanza

/** A presence (RFC 6121 §4). */
public data class Presence(
    override val from: String?,
    override val to: String?,
    override val type: String?,
    override val id: String?,
    override val xml: Xml,
) : Stanza

/** An `iq` request in a namespace given as `answers`: [Client.respond] to it, or [Client.refuse] it. */
public data class Request(
    override val from: String?,
    override val to: String?,
    override val type: String?,
    override val id: String?,
    override val xml: Xml,
    internal val token: Long,
) : Stanza

/** What [Client.request] gives: the `iq` of type `result`. */
public data class Answer(val from: String?, val id: String?, val xml: Xml)

/**
 * Logged in, and a resource is bound: once, and again after each [Interrupted].
 *
 * @property jid the full JID that the server bound
 * @property mechanism the SASL mechanism, as `EXTERNAL`
 * @property serverProof whether the server proved that it knows the password, or the token, too
 * @property channelBinding what the login is bound to, if it is
 * @property profile by which protocol the login was done; null where nobody logged in
 * @property resumed an earlier session goes on; nothing was lost
 * @property clientCertificateRequested whether the server asked for a client certificate, where that is known
 * @property roundTrips how many times the client waited for the server since the connection was there
 * @property transport how it travels
 */
public data class Online(
    val jid: String,
    val mechanism: String,
    val serverProof: ServerProof,
    val channelBinding: ChannelBinding?,
    val profile: Profile?,
    val resumed: Boolean,
    val clientCertificateRequested: Boolean?,
    val roundTrips: Int,
    val transport: Transport,
) : Event

/**
 * The link is gone, and the client will connect again by itself: then there is another [Online].
 *
 * @property reason why it is gone, in the words of an end
 * @property retryIn in how long the next attempt is made; null: when there is a network again
 * @property resumable the session can probably be resumed: nothing is lost so far
 */
public data class Interrupted(val reason: Offline, val retryIn: Duration?, val resumable: Boolean) : Event

/** How far a stanza has come: [token] is what sending it gave. [Stage.ACKED] and [Stage.FAILED] are final, and one of them always comes. */
public data class Delivery(val token: Long, val stage: Stage) : Event

/** Something that does not stop the client, but that a person should know: [code] for programs, [sentence] for the person. */
public data class Notice(val code: String, val sentence: String) : Event

/** What the server offers before the login, where the client only looks: `<stream:features/>`. */
public data class Offered(val features: Xml, val transport: Transport, val encrypted: Boolean) : Event

/**
 * The end: the last event.
 *
 * @property blame who is to blame
 * @property code what it was, for programs: `stopped`, `refused`, `no_mechanism`, `timeout`...
 * @property sentence what happened and what to do about it, for a person
 * @property detail what was the matter within [code], where that has several reasons: `key_does_not_fit` of a `mechanism`
 * @property condition the condition that the server gave, as `not-authorized`
 * @property text the server's own text
 * @property token for `token_refused`: what the server says of the access token
 */
public data class Offline(
    val blame: Blame,
    val code: String,
    val sentence: String,
    val detail: String? = null,
    val condition: String? = null,
    val text: String? = null,
    val token: TokenRefusal? = null,
) : Event

/**
 * What the server says of an access token that it refused (RFC 7628 §3.2.2).
 *
 * @property status as `invalid_token`
 * @property scope the scope that a token has to have
 * @property openidConfiguration where the server says that its OpenID configuration is: do not ask a place that you do not know
 */
public data class TokenRefusal(val status: String?, val scope: String?, val openidConfiguration: String?)

/**
 * What the server wants besides the credentials (XEP-0388 §2.6.3). No event: it goes to the one who does it, [ClientBuilder.task].
 *
 * @property payload what the server says within the task; null where it is to begin
 * @property text the server's text for the user
 */
public data class Task(val task: String, val payload: Xml?, val text: String?)

/** How far a stanza has come. */
public enum class Stage { QUEUED, SENT, ACKED, FAILED }

/** How XMPP travels. */
public enum class Transport { TCP, WEB_SOCKET, BOSH }

/** Whether the server proved that it knows the credential: [NONE] where the mechanism has no proof, [ABSENT] where the policy let it be left out. */
public enum class ServerProof { VERIFIED, NONE, ABSENT }

/** What a login can be bound to: RFC 9266, RFC 5929 §3, RFC 5929 §4. */
public enum class ChannelBinding { TLS_EXPORTER, TLS_UNIQUE, TLS_SERVER_END_POINT }

/** By which protocol a login is done: RFC 6120 §6, or XEP-0388. */
public enum class Profile { SASL1, SASL2 }

/** Who is to blame. [INTERNAL]: this library, please report it. */
public enum class Blame { STOPPED, CONNECTION, TLS, LOGIN, INCOMPATIBLE, MISBEHAVED, ENDED, INTERNAL }

/** One XML element with all its namespaces, in UTF-8. The engine has bounded its size and depth. */
public class Xml internal constructor(private val utf8: ByteArray) {
    /** The size in bytes. */
    public val size: Int get() = utf8.size

    /** As text. */
    public fun text(): String = utf8.toString(Charsets.UTF_8)

    /** As UTF-8: a copy. */
    public fun bytes(): ByteArray = utf8.copyOf()

    /** As a tree, parsed now. */
    public fun element(): Element {
        val factory = DocumentBuilderFactory.newInstance()
        factory.isNamespaceAware = true
        factory.setFeature(XMLConstants.FEATURE_SECURE_PROCESSING, true)
        factory.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true)
        return factory.newDocumentBuilder().parse(ByteArrayInputStream(utf8)).documentElement
    }

    override fun equals(other: Any?): Boolean = other is Xml && utf8.contentEquals(other.utf8)

    override fun hashCode(): Int = utf8.contentHashCode()

    /** The size only. */
    override fun toString(): String = "Xml($size bytes)"
}
