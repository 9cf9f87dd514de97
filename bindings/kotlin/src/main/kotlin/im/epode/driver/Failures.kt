// From the exceptions of the JDK to the words of the engine.
package im.epode.driver

import im.epode.engine.Failure
import java.io.EOFException
import java.io.IOException
import java.net.ConnectException
import java.net.NoRouteToHostException
import java.net.PortUnreachableException
import java.net.ProtocolException
import java.net.SocketException
import java.net.SocketTimeoutException
import java.net.UnknownHostException
import java.net.http.HttpTimeoutException
import java.net.http.WebSocketHandshakeException
import java.nio.channels.ClosedChannelException
import java.nio.channels.UnresolvedAddressException
import java.security.cert.CertificateException
import javax.net.ssl.SSLException
import javax.net.ssl.SSLProtocolException

/** A server's answer that is no HTTP, or more than may be kept. */
internal class BadAnswer(message: String) : IOException(message)

/** What a server sent and must not; the message is told as it is. */
internal class Unwanted(message: String) : IOException(message)

/** What an exception, or one of its causes, means. */
internal fun failureOf(error: Throwable): Failure {
    val causes = generateSequence(error) { it.cause }.take(DEPTH).toList()
    // The most telling one counts, wherever it stands.
    causes.firstNotNullOfOrNull { telling(it) }?.let { return it }
    causes.filterIsInstance<SSLException>().firstOrNull()?.let { return ofTls(it, causes) }
    return causes.firstNotNullOfOrNull { plain(it) } ?: Failure.Other("the connection failed: ${words(error)}")
}

private fun telling(error: Throwable): Failure? = when (error) {
    is BadAnswer -> Failure.Http(words(error))
    is Unwanted -> Failure.Other(words(error))
    is WebSocketHandshakeException -> ofHandshake(error)
    is CertificateException -> Failure.CertificateRejected(words(error))
    is UnknownHostException, is UnresolvedAddressException -> Failure.Dns
    is NoRouteToHostException, is PortUnreachableException ->
        Failure.Other("there is no route to the server: is this machine on the network?")
    is HttpTimeoutException, is SocketTimeoutException -> Failure.Timeout
    is ProtocolException -> Failure.Http("what the server sent is no HTTP/1.1 answer")
    is SSLException -> alertOf(error)?.let { Failure.TlsAlert(it) }
    else -> null
}

private fun ofHandshake(error: WebSocketHandshakeException): Failure? {
    val status = error.response?.statusCode() ?: return null
    if (status != SWITCHING) return Failure.Http("its status is $status, and not the 101 of a WebSocket")
    return Failure.Http("it is not the answer of a WebSocket server to this request")
}

private fun ofTls(error: SSLException, causes: List<Throwable>): Failure {
    val text = error.message.orEmpty()
    return when {
        causes.any { it is EOFException || it is SocketException } -> Failure.Reset
        text.contains("terminated the handshake") || text.contains("closed inbound") -> Failure.Reset
        text.contains("unrecognized SSL message", ignoreCase = true) || error is SSLProtocolException && text.contains("plaintext") ->
            Failure.Other("the server does not speak TLS at this port: is it the right one?")
        else -> Failure.Other("TLS failed: ${words(error)}")
    }
}

private fun plain(error: Throwable): Failure? = when (error) {
    // Its subclasses stand above; the JDK has no other word for a connection that was refused.
    is ConnectException -> Failure.Refused
    is SocketException, is EOFException, is ClosedChannelException -> Failure.Reset
    // java.net.http: the connection ended before the answer was whole.
    is IOException -> Failure.Reset
    else -> null
}

/** The alert that the server sent: the JDK has it in the text only. */
private fun alertOf(error: SSLException): UByte? =
    ALERT.find(error.message.orEmpty())?.let { ALERTS[it.groupValues[1]]?.toUByte() }

private fun words(error: Throwable): String = error.message ?: error.javaClass.simpleName

private const val DEPTH = 16
private const val SWITCHING = 101
private val ALERT = Regex("Received fatal alert: ([a-z_0-9]+)")

/** RFC 8446 §6, and those of RFC 5246 §7.2 that are not there any more. */
private val ALERTS = mapOf(
    "close_notify" to 0,
    "unexpected_message" to 10,
    "bad_record_mac" to 20,
    "decryption_failed" to 21,
    "record_overflow" to 22,
    "decompression_failure" to 30,
    "handshake_failure" to 40,
    "no_certificate" to 41,
    "bad_certificate" to 42,
    "unsupported_certificate" to 43,
    "certificate_revoked" to 44,
    "certificate_expired" to 45,
    "certificate_unknown" to 46,
    "illegal_parameter" to 47,
    "unknown_ca" to 48,
    "access_denied" to 49,
    "decode_error" to 50,
    "decrypt_error" to 51,
    "export_restriction" to 60,
    "protocol_version" to 70,
    "insufficient_security" to 71,
    "internal_error" to 80,
    "inappropriate_fallback" to 86,
    "user_canceled" to 90,
    "no_renegotiation" to 100,
    "missing_extension" to 109,
    "unsupported_extension" to 110,
    "certificate_unobtainable" to 111,
    "unrecognized_name" to 112,
    "bad_certificate_status_response" to 113,
    "bad_certificate_hash_value" to 114,
    "unknown_psk_identity" to 115,
    "certificate_required" to 116,
    "no_application_protocol" to 120,
)
