// What can be thrown. The message of each is a sentence for a person.
package im.epode

/** Every error of this library. */
public open class EpodeException internal constructor(message: String, cause: Throwable? = null) : Exception(message, cause)

/** What was given cannot work: a JID, a URL, a certificate, a combination. Nothing was sent. */
public class ConfigurationException internal constructor(message: String, cause: Throwable? = null) :
    EpodeException(message, cause)

/** There is no session to send on: it has not begun, is over, or ended before the answer came. Or it is too late to answer a request. */
public class NotOnlineException internal constructor(message: String) : EpodeException(message)

/** The XML is not a stanza that can be sent like this. Nothing was sent. */
public class InvalidStanzaException internal constructor(message: String) : EpodeException(message)

/** The stanza is larger than a server can be expected to take. Nothing was sent. */
public class StanzaTooLargeException internal constructor(message: String) : EpodeException(message)

/** The entity answered a request with an error (RFC 6120 §8.3): [condition], [type] and [text] are its own words. */
public class RequestFailedException internal constructor(
    public val condition: String,
    public val type: String,
    public val text: String?,
) : EpodeException("the request was refused: $condition" + if (text == null) "" else " (\"$text\")")

/** No answer to a request in time. */
public class RequestTimedOutException internal constructor() : EpodeException("the request was not answered in time")

/** The session is over, or never began. The class says who is to blame, [reason] has the details. */
public open class WentOfflineException internal constructor(public val reason: Offline, cause: Throwable? = null) :
    EpodeException(reason.sentence, cause)

/** The server could not be reached, or the connection broke. */
public class ConnectionFailedException internal constructor(reason: Offline) : WentOfflineException(reason)

/** TLS, or a certificate. */
public class TlsFailedException internal constructor(reason: Offline) : WentOfflineException(reason)

/** The server refused the login, or it cannot be done with what was given. Trying again will not help. */
public open class LoginFailedException internal constructor(reason: Offline) : WentOfflineException(reason)

/** The server refused the access token: get another one. `reason.token` is what it says of it. */
public class TokenRefusedException internal constructor(reason: Offline) : LoginFailedException(reason)

/** The server lacks something that is needed. */
public class ServerIncompatibleException internal constructor(reason: Offline) : WentOfflineException(reason)

/** The server broke the protocol. */
public class ServerMisbehavedException internal constructor(reason: Offline) : WentOfflineException(reason)

/** The server ended the session. */
public class SessionEndedException internal constructor(reason: Offline) : WentOfflineException(reason)

internal fun wentOffline(reason: Offline): WentOfflineException = when (reason.blame) {
    Blame.CONNECTION -> ConnectionFailedException(reason)
    Blame.TLS -> TlsFailedException(reason)
    Blame.LOGIN -> if (reason.code == "token_refused") TokenRefusedException(reason) else LoginFailedException(reason)
    Blame.INCOMPATIBLE -> ServerIncompatibleException(reason)
    Blame.MISBEHAVED -> ServerMisbehavedException(reason)
    Blame.ENDED -> SessionEndedException(reason)
    Blame.STOPPED, Blame.INTERNAL -> WentOfflineException(reason)
}
