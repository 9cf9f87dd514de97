// From what an application gives to one kind of credentials, never a guess; and certificates with their keys out of files.
package im.epode

import im.epode.driver.Identity
import im.epode.driver.refused
import im.epode.engine.DerivedKey
import im.epode.engine.Refused
import java.io.ByteArrayInputStream
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.file.Files
import java.nio.file.Path
import java.security.GeneralSecurityException
import java.security.KeyFactory
import java.security.KeyStore
import java.security.PrivateKey
import java.security.cert.CertificateFactory
import java.security.cert.X509Certificate
import java.security.spec.PKCS8EncodedKeySpec
import java.util.Base64
import javax.net.ssl.TrustManagerFactory
import javax.net.ssl.X509ExtendedTrustManager
import im.epode.engine.Credentials as EngineCredentials

/** What was given, as long as it is being collected. */
internal class Credentials {
    var identity: Identity? = null
    var password: ByteArray? = null
    var newAccount: Boolean = false
    var accessToken: ByteArray? = null
    var scramKey: ByteArray? = null
    var anonymous: Boolean = false
    var lookOnly: Boolean = false

    /** A login is bound to the connection, where it can be: not with these, of which nothing can be. */
    val binds: Boolean
        get() = !anonymous && !lookOnly && accessToken == null && (identity == null || password != null)

    /** [kept]: with nothing else, the token of an earlier login is what there is. */
    fun engine(kept: Boolean): EngineCredentials {
        val given = listOfNotNull(
            "a certificate or a password".takeIf { identity != null || password != null },
            "an access token".takeIf { accessToken != null },
            "a SCRAM key".takeIf { scramKey != null },
            "an anonymous login".takeIf { anonymous },
            "no login at all".takeIf { lookOnly },
        )
        if (given.size > 1) {
            throw ConfigurationException("${given.joinToString(" and ")} were given: one kind of credentials logs in")
        }
        val identity = identity
        val password = password
        return when {
            newAccount && identity != null -> throw ConfigurationException("a new account needs a password, and nothing else")
            newAccount && password != null -> EngineCredentials.NewAccount(password)
            identity != null && password != null -> EngineCredentials.CertificateAndPassword(LABEL, password)
            identity != null -> EngineCredentials.Certificate(LABEL, identity.der)
            password != null -> EngineCredentials.Password(password)
            accessToken != null -> EngineCredentials.AccessToken(accessToken!!)
            scramKey != null -> EngineCredentials.ScramKey(derivedKey(scramKey!!))
            anonymous -> EngineCredentials.Anonymous
            lookOnly -> EngineCredentials.Nothing
            kept -> EngineCredentials.KeptToken
            else -> throw ConfigurationException("no credentials were given: a certificate, a password, or both are needed")
        }
    }

    private fun derivedKey(bytes: ByteArray): DerivedKey {
        val direct = ByteBuffer.allocateDirect(bytes.size).put(bytes).flip()
        try {
            return DerivedKey.fromBytes(direct)
        } catch (refused: Refused) {
            throw refused(refused)
        }
    }

    private companion object {
        const val LABEL = "certificate"
    }
}

/** The one entry of a store that has a key, or the one of that name. */
internal fun identityOf(store: KeyStore, password: CharArray?, alias: String?): Identity {
    try {
        val names = store.aliases().toList().filter { store.isKeyEntry(it) }
        val name = when {
            alias != null -> alias.takeIf { store.isKeyEntry(it) }
                ?: throw ConfigurationException("the key store has no private key called \"$alias\"")
            names.size == 1 -> names[0]
            names.isEmpty() -> throw ConfigurationException("the key store has no private key in it")
            else -> throw ConfigurationException("the key store has ${names.size} private keys: say which one by its alias")
        }
        val key = store.getKey(name, password) as? PrivateKey
        val chain = store.getCertificateChain(name)?.filterIsInstance<X509Certificate>().orEmpty()
        if (key == null || chain.isEmpty()) {
            throw ConfigurationException("the entry \"$name\" of the key store has no private key with a certificate")
        }
        return Identity(key, chain.toTypedArray())
    } catch (error: GeneralSecurityException) {
        throw ConfigurationException("the key store cannot be used: ${error.message}", error)
    }
}

internal fun identityOfPkcs12(file: Path, password: CharArray?): Identity {
    val store = KeyStore.getInstance("PKCS12")
    unusable(file) { Files.newInputStream(file).use { store.load(it, password) } }
    return identityOf(store, password, null)
}

internal fun identityOfPem(certificate: Path, key: Path): Identity {
    val chain = certificates(certificate)
    val block = PEM_KEY.find(unusable(key) { Files.readString(key) })
        ?: throw ConfigurationException(
            "the file \"$key\" has no unencrypted PKCS#8 key (\"BEGIN PRIVATE KEY\"): turn what is in it into PKCS#12",
        )
    val der = PKCS8EncodedKeySpec(unusable(key) { Base64.getMimeDecoder().decode(block.groupValues[1]) })
    val algorithm = chain[0].publicKey.algorithm
    val private = unusable(key) { KeyFactory.getInstance(algorithm).generatePrivate(der) }
    return Identity(private, chain.toTypedArray())
}

/** These authorities; null: those that the JVM trusts. */
internal fun trustOf(authorities: KeyStore?): X509ExtendedTrustManager {
    val factory = TrustManagerFactory.getInstance("PKIX")
    factory.init(authorities)
    return factory.trustManagers.filterIsInstance<X509ExtendedTrustManager>().firstOrNull()
        ?: throw ConfigurationException("this JVM has no trust manager for X.509")
}

internal fun authoritiesOf(file: Path): KeyStore {
    val store = KeyStore.getInstance(KeyStore.getDefaultType())
    store.load(null, null)
    certificates(file).forEachIndexed { index, certificate -> store.setCertificateEntry("ca$index", certificate) }
    return store
}

private fun certificates(file: Path): List<X509Certificate> {
    val found = unusable(file) {
        // The JDK reads neither text before a certificate nor the key that may stand beside it.
        PEM_CERTIFICATE.findAll(Files.readString(file, Charsets.ISO_8859_1))
            .map { CertificateFactory.getInstance("X.509").generateCertificate(ByteArrayInputStream(it.value.toByteArray())) }
            .filterIsInstance<X509Certificate>().toList()
    }
    if (found.isEmpty()) throw ConfigurationException("the file \"$file\" has no certificate in PEM in it")
    return found
}

private inline fun <T> unusable(file: Path, work: () -> T): T = try {
    work()
} catch (error: IOException) {
    throw ConfigurationException("the file \"$file\" cannot be used: ${error.message}", error)
} catch (error: GeneralSecurityException) {
    throw ConfigurationException("the file \"$file\" cannot be used: ${error.message}", error)
} catch (error: IllegalArgumentException) {
    throw ConfigurationException("the file \"$file\" cannot be used: it is no PEM", error)
}

private val PEM_CERTIFICATE = Regex("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", RegexOption.DOT_MATCHES_ALL)
private val PEM_KEY = Regex("-----BEGIN PRIVATE KEY-----(.+?)-----END PRIVATE KEY-----", RegexOption.DOT_MATCHES_ALL)
