// What an application decides before it connects: in Kotlin as a block, in Java as a chain of calls.
package im.epode

import im.epode.driver.Actor
import im.epode.driver.Environment
import im.epode.driver.Resolver
import im.epode.driver.StateFolder
import im.epode.driver.refused
import im.epode.driver.same
import im.epode.engine.Acknowledge
import im.epode.engine.Bind
import im.epode.engine.Bosh
import im.epode.engine.Config
import im.epode.engine.Input
import im.epode.engine.KeyDerivation
import im.epode.engine.LinkInfo
import im.epode.engine.Persist
import im.epode.engine.Reconnect
import im.epode.engine.ReconnectWhen
import im.epode.engine.Refused
import im.epode.engine.Slot
import im.epode.engine.Timeouts
import im.epode.engine.UserAgent
import java.nio.ByteBuffer
import java.nio.file.Path
import java.security.KeyStore
import java.security.SecureRandom
import java.time.Duration
import java.util.concurrent.CompletionStage
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.future.await
import im.epode.driver.Clock
import im.epode.engine.Client as Engine
import im.epode.engine.Fast as EngineFast
import im.epode.engine.TcpTls
import im.epode.engine.Transport as EngineTransport

/**
 * The account, how to reach its server, how to prove the account, and options. Made by [Epode.connect] or [Epode.builder]; one thread at a time.
 *
 * Transports are tried in the order in which they were given. Without any, the way is found by DNS (RFC 6120 §3.2, XEP-0368) and the server's
 * host-meta (XEP-0156).
 */
public class ClientBuilder internal constructor(private val jid: String) {
    private val transports = mutableListOf<EngineTransport>()
    private val credentials = Credentials()
    private val tasks = LinkedHashMap<String, suspend (Task) -> ByteArray?>()
    private var authorities: KeyStore? = null
    private var policy = Policy()
    private var state: StateFolder? = null
    private var fast = Fast.USE
    private var userAgent = UserAgent()
    private var tag = "epode"
    private var carbons = false
    private var answers = listOf<String>()
    private var available = true
    private var reconnect = true
    private var language = "en"
    private var plaintext = false
    private var connectTimeout: Duration? = null
    private var nameServer: String? = null
    private var parent: Job? = null

    /** The versions of TLS that may be used, by their names in the JDK. For tests. */
    internal var protocols: Array<String> = arrayOf("TLSv1.3", "TLSv1.2")

    /** Is told what the engine is told of each connection. For tests. */
    internal var seen: (LinkInfo) -> Unit = {}

    // ---- how to reach the server

    /** TCP. The certificate is checked for the domain of the account, whatever the host is called. */
    @JvmOverloads
    public fun tcp(host: String, port: Int = 5222, tls: Tls = Tls.START_TLS): ClientBuilder = also {
        if (port !in 1..65_535) throw ConfigurationException("$port is no port: they go from 1 to 65535")
        transports += EngineTransport.Tcp(host, port.toUShort(), same<TcpTls>(tls))
    }

    /** A WebSocket (RFC 7395): a URL of `wss`. */
    public fun websocket(url: String): ClientBuilder = also { transports += EngineTransport.WebSocket(url) }

    /** HTTP (XEP-0124): a URL of `https`. */
    public fun bosh(url: String): ClientBuilder = also { transports += EngineTransport.Bosh(Bosh(url)) }

    /** What DNS and the server's host-meta say, of these kinds. */
    @JvmOverloads
    public fun discover(tcp: Boolean = true, websocket: Boolean = true, bosh: Boolean = true): ClientBuilder =
        also { transports += EngineTransport.Discover(tcp, websocket, bosh) }

    /** Asks this name server (`host:port`) instead of the system's. */
    public fun nameServer(address: String): ClientBuilder = also { nameServer = address }

    /** The authorities that may vouch for the server, of a PEM file; without it, those that the JVM trusts. */
    public fun authorities(pem: Path): ClientBuilder = also { authorities = authoritiesOf(pem) }

    /** The authorities that may vouch for the server; without them, those that the JVM trusts. */
    public fun authorities(store: KeyStore): ClientBuilder = also { authorities = store }

    /** Takes connections without TLS, for tests on one machine. */
    public fun allowPlaintext(): ClientBuilder = also { plaintext = true }

    // ---- how to prove the account

    /** A TLS client certificate with its key from a store: SASL EXTERNAL. [alias] is needed where the store has several keys. */
    @JvmOverloads
    public fun certificate(store: KeyStore, password: CharArray?, alias: String? = null): ClientBuilder =
        also { credentials.identity = identityOf(store, password, alias) }

    /** A TLS client certificate with its key from a PKCS#12 file (`.p12`, `.pfx`): SASL EXTERNAL. */
    public fun certificate(pkcs12: Path, password: CharArray?): ClientBuilder =
        also { credentials.identity = identityOfPkcs12(pkcs12, password) }

    /** A TLS client certificate from a PEM file, its key from another or the same one (PKCS#8, not encrypted): SASL EXTERNAL. */
    public fun certificatePem(certificate: Path, key: Path): ClientBuilder =
        also { credentials.identity = identityOfPem(certificate, key) }

    /** The account's password: SCRAM. Together with a certificate, two factors. */
    public fun password(password: String): ClientBuilder = also { credentials.password = password.encodeToByteArray() }

    /** The account's password. What is in the array is copied. */
    public fun password(password: CharArray): ClientBuilder = also {
        val bytes = Charsets.UTF_8.encode(java.nio.CharBuffer.wrap(password))
        credentials.password = ByteArray(bytes.remaining()).also { copy -> bytes.get(copy) }
    }

    /** An OAuth 2.0 access token: OAUTHBEARER (RFC 7628). */
    public fun accessToken(token: String): ClientBuilder = also { credentials.accessToken = token.encodeToByteArray() }

    /** What [Client.scramKey] gave after an earlier login with the password: as secret as that. */
    public fun scramKey(key: ByteArray): ClientBuilder = also { credentials.scramKey = key.copyOf() }

    /** No account: the JID is the server's domain (XEP-0175). */
    public fun anonymous(): ClientBuilder = also { credentials.anonymous = true }

    /** Registers the account with the password before it logs in (XEP-0077). */
    public fun newAccount(): ClientBuilder = also { credentials.newAccount = true }

    /** Only looks at what the server offers: [Offered], then [Offline]. The JID may be a domain. Use [Epode.builder] and [open]. */
    public fun lookOnly(): ClientBuilder = also { credentials.lookOnly = true }

    /** Which mechanisms may be used. */
    public fun policy(policy: Policy): ClientBuilder = also { this.policy = policy }

    /** Which mechanisms may be used. */
    @JvmSynthetic
    public fun policy(configure: Policy.() -> Unit): ClientBuilder = also { policy = Policy().apply(configure) }

    /**
     * A folder that keeps what the next process may use: the server's login token (XEP-0484), which with no other credentials is what logs in,
     * and what is known of the server. It is made with mode 0700, its files with 0600; files that others can read are refused.
     */
    public fun state(folder: Path): ClientBuilder = also { state = StateFolder(folder) }

    /** Whether login tokens are used. */
    public fun fast(fast: Fast): ClientBuilder = also { this.fast = fast }

    // ---- how to be online

    /** What the client says about itself (XEP-0388 §2.3). [id]: a UUID of version 4, the same for all the life of an installation. */
    @JvmOverloads
    public fun userAgent(software: String?, device: String? = null, id: String? = null): ClientBuilder =
        also { userAgent = UserAgent(id, software, device) }

    /** A part of the resource's name (XEP-0386). */
    public fun tag(tag: String): ClientBuilder = also { this.tag = tag }

    /** Messages of the account's other devices are copied here (XEP-0280), where the server has Bind 2. */
    public fun carbons(): ClientBuilder = also { carbons = true }

    /** Namespaces of requests that the application answers: they come as [Request]. All others are refused for it. */
    public fun answers(vararg namespaces: String): ClientBuilder = also { answers = answers + namespaces }

    /** Sends no initial presence: servers route no messages to the account then. */
    public fun unavailable(): ClientBuilder = also { available = false }

    /** Whether to connect again when the link is gone after a login; by default it is done. */
    public fun reconnect(reconnect: Boolean): ClientBuilder = also { this.reconnect = reconnect }

    /** The default language of what is sent (RFC 6120 §4.7.4); `en` if it is not said. */
    public fun language(language: String): ClientBuilder = also { this.language = language }

    /** How long each place, and each step of the negotiation, may take; 30 seconds if it is not said. */
    public fun timeout(timeout: Duration): ClientBuilder = also { connectTimeout = timeout }

    /** Does what the server wants besides the credentials (XEP-0388 §2.6.3): gives the task's own element, or null. What it throws ends the login. */
    @JvmSynthetic
    public fun task(name: String, handler: suspend (Task) -> String?): ClientBuilder =
        also { tasks[name] = { task -> handler(task)?.encodeToByteArray() } }

    /** As the other, for Java. */
    public fun task(name: String, handler: java.util.function.Function<Task, CompletionStage<String?>>): ClientBuilder =
        also { tasks[name] = { task -> handler.apply(task).await()?.encodeToByteArray() } }

    /** The client ends with this scope: at once, without a goodbye. Without it, it ends by [Client.close] only. */
    @JvmSynthetic
    public fun scope(scope: CoroutineScope): ClientBuilder = also { parent = scope.coroutineContext[Job] }

    // ---- the end

    /** A client that has begun to connect. Its first event is [Online], or [Offline]. Throws [ConfigurationException] for what cannot work. For Java, [Client.futures] of it has futures. */
    public fun open(): Client {
        Library.check()
        val environment = Environment(
            identity = credentials.identity,
            trust = trustOf(authorities),
            resolver = Resolver(nameServer),
            binds = credentials.binds,
            available = available && !credentials.lookOnly,
            tasks = tasks.toMap(),
            state = state,
            protocols = protocols,
            seen = seen,
        )
        val engine = try {
            Engine(config(), seed()).also { restore(it) }
        } catch (refused: Refused) {
            throw refused(refused)
        }
        return Client(Actor(engine, environment, parent))
    }

    private fun config() = Config(
        jid = jid,
        credentials = credentials.engine(kept = state != null),
        transports = transports.toList(),
        allowPlaintext = plaintext,
        mechanisms = policy.mechanisms(),
        timeouts = connectTimeout?.let { Timeouts(connect = it.toMillis().toULong(), negotiation = it.toMillis().toULong()) },
        reconnect = Reconnect(`when` = if (reconnect) ReconnectWhen.AFTER_ONLINE else ReconnectWhen.NEVER),
        persist = if (state == null) null else Persist.ON_SUSPEND,
        acknowledge = Acknowledge.AUTOMATIC,
        userAgent = userAgent,
        fast = same<EngineFast>(fast),
        bind = Bind(tag = tag, carbons = carbons),
        // The loop goes on meanwhile.
        keyDerivation = KeyDerivation.HOST,
        tasks = tasks.keys.toList(),
        language = language,
        answers = answers,
    )

    private fun restore(engine: Engine) {
        val state = state ?: return
        val clock = Clock()
        for (slot in Slot.entries) {
            val stored = state.load(slot) ?: continue
            try {
                engine.handle(clock.now(), Input.Restore(slot, stored))
            } catch (_: Refused.Snapshot) {
                // Damaged, or of another account: the engine starts afresh, and what it stores next takes its place.
                continue
            }
        }
    }

    private fun seed(): ByteBuffer {
        val seed = ByteArray(SEED)
        SecureRandom().nextBytes(seed)
        return ByteBuffer.allocateDirect(SEED).put(seed).flip()
    }

    /** Never a secret. */
    override fun toString(): String = "ClientBuilder($jid)"

    private companion object {
        const val SEED = 32
    }
}
