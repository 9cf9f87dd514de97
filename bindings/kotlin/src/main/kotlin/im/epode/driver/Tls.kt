// TLS: the client's certificate, who may vouch for the server, and what each connection showed.
package im.epode.driver

import java.lang.ref.WeakReference
import java.net.Socket
import java.security.KeyManagementException
import java.security.MessageDigest
import java.security.Principal
import java.security.PrivateKey
import java.security.SecureRandom
import java.security.cert.CertPathValidatorException
import java.security.cert.CertificateException
import java.security.cert.CertificateExpiredException
import java.security.cert.CertificateNotYetValidException
import java.security.cert.X509Certificate
import java.util.Collections
import java.util.WeakHashMap
import javax.net.ssl.SNIHostName
import javax.net.ssl.SSLContext
import javax.net.ssl.SSLContextSpi
import javax.net.ssl.SSLEngine
import javax.net.ssl.SSLParameters
import javax.net.ssl.SSLSession
import javax.net.ssl.SSLSocket
import javax.net.ssl.X509ExtendedKeyManager
import javax.net.ssl.X509ExtendedTrustManager

/** A client certificate with its chain, leaf first, and its private key. */
internal class Identity(val key: PrivateKey, val chain: Array<X509Certificate>) {
    val der: ByteArray get() = chain[0].encoded

    /** Never the key. */
    override fun toString(): String = "Identity(${chain[0].subjectX500Principal})"
}

/** What a handshake showed. */
internal class Seen(val session: SSLSession, val clientCertificateRequested: Boolean?) {
    private val leaf: X509Certificate? = session.peerCertificates.firstOrNull() as? X509Certificate
    val version: String? = VERSIONS[session.protocol]
    val clientCertificate: ByteArray? = session.localCertificates?.firstOrNull()?.encoded
    val serverEndPoint: ByteArray? get() = leaf?.let { serverEndPoint(it) }
    val exporter: ByteArray? get() = exporter(session)
    val serverSha256: ByteArray? get() = leaf?.let { sha256(it) }

    private companion object {
        val VERSIONS = mapOf("TLSv1.2" to "1.2", "TLSv1.3" to "1.3")
    }
}

/**
 * The TLS of one link: it presents one identity or none, verifies every server by name, and keeps what was seen.
 *
 * With [pinned], all connections of the link have to show one certificate (XEP-0124 §17.1).
 */
internal class LinkTls(
    identity: Identity?,
    trust: X509ExtendedTrustManager,
    private val versions: Array<String>,
    pinned: Boolean,
) {
    private val asked: MutableSet<Any> = Collections.synchronizedSet(Collections.newSetFromMap(WeakHashMap()))
    private val engines = mutableListOf<WeakReference<SSLEngine>>()
    private val keys = arrayOf(Presenter(identity, asked))
    private val verifiers = arrayOf(Verifier(trust, pinned))
    private val random = SecureRandom()
    private val plain: SSLContext = fresh()

    /** For java.net.http, which makes its connections by itself. */
    val context: SSLContext = WatchedContext(WatchedContext.Spi(plain, ::fresh) { engine ->
        synchronized(engines) {
            engines.removeAll { it.get() == null }
            engines.add(WeakReference(engine))
        }
    }, plain)

    /** What every connection of java.net.http is held to; it adds the names by itself. */
    val parameters: SSLParameters = SSLParameters().apply { protocols = versions }

    /** TLS over a connection that is there: to be shaken hands on by the caller. Closing [raw] ends it. */
    fun over(raw: Socket, serverName: String, alpn: String?): SSLSocket {
        val name = serverName.removePrefix("[").removeSuffix("]")
        val socket = fresh().socketFactory.createSocket(raw, name, raw.port, true) as SSLSocket
        socket.useClientMode = true
        socket.sslParameters = socket.sslParameters.apply {
            protocols = versions
            endpointIdentificationAlgorithm = HTTPS
            // RFC 6066 §3: no addresses.
            if (!isAddress(name)) serverNames = listOf(SNIHostName(name))
            if (alpn != null) applicationProtocols = arrayOf(alpn)
        }
        return socket
    }

    fun seen(socket: SSLSocket): Seen = Seen(socket.session, socket in asked)

    /** What the connection showed that carried an HTTP answer, or the one connection of a WebSocket. */
    fun seen(session: SSLSession? = null): Seen? {
        val made = synchronized(engines) { engines.mapNotNull { it.get() } }
        if (session == null) return made.lastOrNull()?.let { Seen(it.session, it in asked) }
        val engine = made.find { it.session.id.contentEquals(session.id) }
        return Seen(session, engine?.let { it in asked })
    }

    /** Of one connection only: a resumed one does not say whether a certificate was asked for, and the server may judge by the first. */
    private fun fresh(): SSLContext = SSLContext.getInstance("TLS").apply { init(keys, verifiers, random) }
}

internal fun sha256(certificate: X509Certificate): ByteArray =
    MessageDigest.getInstance("SHA-256").digest(certificate.encoded)

private const val HTTPS = "HTTPS"
private val IPV4 = Regex("[0-9.]+")

private fun isAddress(name: String) = ':' in name || IPV4.matches(name)

/** Presents the one identity whatever authorities the server names: the user chose it, and servers name too few. */
private class Presenter(private val identity: Identity?, private val asked: MutableSet<Any>) : X509ExtendedKeyManager() {
    override fun chooseClientAlias(keyType: Array<String>, issuers: Array<Principal>?, socket: Socket?): String? =
        choose(keyType, socket)

    override fun chooseEngineClientAlias(keyType: Array<String>, issuers: Array<Principal>?, engine: SSLEngine?): String? =
        choose(keyType, engine)

    private fun choose(keyTypes: Array<String>, connection: Any?): String? {
        if (connection != null) asked.add(connection)
        val algorithm = identity?.key?.algorithm ?: return null
        return ALIAS.takeIf { keyTypes.any { it == algorithm || it.startsWith("${algorithm}SSA") } }
    }

    override fun getCertificateChain(alias: String): Array<X509Certificate>? = identity?.chain?.takeIf { alias == ALIAS }

    override fun getPrivateKey(alias: String): PrivateKey? = identity?.key?.takeIf { alias == ALIAS }

    override fun getClientAliases(keyType: String, issuers: Array<Principal>?): Array<String>? = null

    override fun getServerAliases(keyType: String, issuers: Array<Principal>?): Array<String>? = null

    override fun chooseServerAlias(keyType: String, issuers: Array<Principal>?, socket: Socket?): String? = null

    private companion object {
        const val ALIAS = "epode"
    }
}

/** Verifies by the authorities and the name, and says what was wrong in words for a person. */
private class Verifier(private val trust: X509ExtendedTrustManager, private val pinned: Boolean) : X509ExtendedTrustManager() {
    private var first: ByteArray? = null

    override fun checkServerTrusted(chain: Array<X509Certificate>, authType: String, socket: Socket) {
        val named = (socket as? SSLSocket)?.sslParameters
        check(chain, named) { trust.checkServerTrusted(chain, authType, socket) }
    }

    override fun checkServerTrusted(chain: Array<X509Certificate>, authType: String, engine: SSLEngine) =
        check(chain, engine.sslParameters) { trust.checkServerTrusted(chain, authType, engine) }

    private fun check(chain: Array<X509Certificate>, parameters: SSLParameters?, verify: () -> Unit) {
        if (parameters?.endpointIdentificationAlgorithm != HTTPS) {
            throw CertificateException("the check of its name was switched off: a property of this JVM forbids java.net.http to do it")
        }
        try {
            verify()
        } catch (error: CertificateException) {
            throw CertificateException(rejection(error), error)
        }
        if (!pinned) return
        val shown = sha256(chain[0])
        val expected = synchronized(this) { first ?: shown.also { first = it } }
        if (!shown.contentEquals(expected)) {
            throw CertificateException(
                "it changed in the middle of the session, so nothing was sent to whoever showed the new one",
            )
        }
    }

    override fun checkServerTrusted(chain: Array<X509Certificate>, authType: String) = unnamed()

    override fun checkClientTrusted(chain: Array<X509Certificate>, authType: String) = unnamed()

    override fun checkClientTrusted(chain: Array<X509Certificate>, authType: String, socket: Socket) = unnamed()

    override fun checkClientTrusted(chain: Array<X509Certificate>, authType: String, engine: SSLEngine) = unnamed()

    /** Without a connection there is no name to check. */
    private fun unnamed(): Nothing = throw CertificateException("it was not to be judged like this")

    override fun getAcceptedIssuers(): Array<X509Certificate> = trust.acceptedIssuers
}

private fun rejection(error: CertificateException): String {
    val causes = generateSequence<Throwable>(error) { it.cause }.take(CAUSES).toList()
    val reason = causes.filterIsInstance<CertPathValidatorException>().firstOrNull()?.reason
    val text = causes.mapNotNull { it.message }
    return when {
        causes.any { it is CertificateExpiredException } || reason == CertPathValidatorException.BasicReason.EXPIRED ->
            "it has expired"
        causes.any { it is CertificateNotYetValidException } ->
            "it is not valid yet; check the clock of this machine"
        text.any { it.startsWith("No subject alternative") || it.startsWith("No name matching") } ->
            "it is for another name than the server's: ${error.message}"
        text.any { "unable to find valid certification path" in it || "Path does not chain" in it || "trustAnchors" in it } ->
            "none of the authorities that are trusted here has signed it"
        else -> error.message ?: "it is not valid"
    }
}

private const val CAUSES = 10

/** A context that tells of the engines that it makes: java.net.http does not say which connection a WebSocket has. */
private class WatchedContext(spi: Spi, plain: SSLContext) : SSLContext(spi, plain.provider, plain.protocol) {
    class Spi(
        private val plain: SSLContext,
        private val fresh: () -> SSLContext,
        private val made: (SSLEngine) -> Unit,
    ) : SSLContextSpi() {
        override fun engineInit(
            keys: Array<javax.net.ssl.KeyManager>?,
            trust: Array<javax.net.ssl.TrustManager>?,
            random: SecureRandom?,
        ): Unit = throw KeyManagementException("this context is ready")

        override fun engineCreateSSLEngine(): SSLEngine = fresh().createSSLEngine().also(made)

        override fun engineCreateSSLEngine(host: String, port: Int): SSLEngine = fresh().createSSLEngine(host, port).also(made)

        override fun engineGetSocketFactory() = plain.socketFactory!!

        override fun engineGetServerSocketFactory() = plain.serverSocketFactory!!

        override fun engineGetServerSessionContext() = plain.serverSessionContext!!

        override fun engineGetClientSessionContext() = plain.clientSessionContext!!

        override fun engineGetDefaultSSLParameters() = plain.defaultSSLParameters!!

        override fun engineGetSupportedSSLParameters() = plain.supportedSSLParameters!!
    }
}
