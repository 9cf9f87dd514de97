// What a login can be bound to: values that both ends of a TLS connection know, and nobody between two of them can make the same.
package im.epode.driver

import java.security.AlgorithmParameters
import java.security.MessageDigest
import java.security.cert.X509Certificate
import java.security.spec.MGF1ParameterSpec
import java.security.spec.PSSParameterSpec
import javax.net.ssl.SSLSession

/** RFC 5929 §4.1: the hash of the server's certificate (DER), by the hash function of its signature; null where that has none, or two. */
internal fun serverEndPoint(certificate: X509Certificate): ByteArray? {
    val hash = if (certificate.sigAlgOID == RSA_PSS) pssHash(certificate.sigAlgParams) else SIGNATURES[certificate.sigAlgOID]
    return hash?.let { MessageDigest.getInstance(it).digest(certificate.encoded) }
}

/**
 * RFC 9266 §4.1, with TLS 1.3. A JDK that can export it is 25 or later; before, there is none. With TLS 1.2 it needs the extended master
 * secret (RFC 7627), and the JDK does not say whether that was negotiated.
 */
internal fun exporter(session: SSLSession): ByteArray? {
    val export = EXPORT ?: return null
    if (session.protocol != "TLSv1.3" || !export.declaringClass.isInstance(session)) return null
    // RFC 9266 §2: the context is there, and empty.
    return try {
        export.invoke(session, "EXPORTER-Channel-Binding", ByteArray(0), EXPORTER_BYTES) as ByteArray
    } catch (_: ReflectiveOperationException) {
        null
    }
}

/** RFC 9266 §2. */
private const val EXPORTER_BYTES = 32

private val EXPORT = try {
    Class.forName("javax.net.ssl.ExtendedSSLSession")
        .getMethod("exportKeyingMaterialData", String::class.java, ByteArray::class.java, Int::class.javaPrimitiveType)
} catch (_: NoSuchMethodException) {
    null
}

/** id-RSASSA-PSS (RFC 4055 §3.1). */
private const val RSA_PSS = "1.2.840.113549.1.1.10"

/** Signatures that have one hash function in their name, by that. Those with MD5 or SHA-1 count as SHA-256 (RFC 5929 §4.1). */
private val SIGNATURES = mapOf(
    // RFC 3279 §2.2: RSA with MD5 and SHA-1, DSA and ECDSA with SHA-1.
    "1.2.840.113549.1.1.4" to "SHA-256",
    "1.2.840.113549.1.1.5" to "SHA-256",
    "1.2.840.10040.4.3" to "SHA-256",
    "1.2.840.10045.4.1" to "SHA-256",
    // RFC 4055 §5: RSA.
    "1.2.840.113549.1.1.14" to "SHA-224",
    "1.2.840.113549.1.1.11" to "SHA-256",
    "1.2.840.113549.1.1.12" to "SHA-384",
    "1.2.840.113549.1.1.13" to "SHA-512",
    // RFC 5758 §3: DSA and ECDSA.
    "2.16.840.1.101.3.4.3.1" to "SHA-224",
    "2.16.840.1.101.3.4.3.2" to "SHA-256",
    "1.2.840.10045.4.3.1" to "SHA-224",
    "1.2.840.10045.4.3.2" to "SHA-256",
    "1.2.840.10045.4.3.3" to "SHA-384",
    "1.2.840.10045.4.3.4" to "SHA-512",
)

/** RFC 4055 §3.1: the signature and its mask have to have one hash. SHA-1, which is what is left out, counts as SHA-256. */
private fun pssHash(parameters: ByteArray?): String? {
    val pss = try {
        AlgorithmParameters.getInstance("RSASSA-PSS").apply { init(parameters ?: return null) }
            .getParameterSpec(PSSParameterSpec::class.java)
    } catch (_: java.io.IOException) {
        return null
    } catch (_: java.security.GeneralSecurityException) {
        return null
    }
    val mask = (pss.mgfParameters as? MGF1ParameterSpec)?.digestAlgorithm
    return when (val hash = pss.digestAlgorithm) {
        mask -> if (hash == "SHA-1") "SHA-256" else hash.takeIf { it in HASHES }
        else -> null
    }
}

private val HASHES = setOf("SHA-224", "SHA-256", "SHA-384", "SHA-512")
