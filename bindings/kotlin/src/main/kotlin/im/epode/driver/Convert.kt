// From the generated classes to those of the façade.
package im.epode.driver

import im.epode.Answer
import im.epode.Blame
import im.epode.ChannelBinding
import im.epode.ConfigurationException
import im.epode.Delivery
import im.epode.EpodeException
import im.epode.Event
import im.epode.Interrupted
import im.epode.InvalidStanzaException
import im.epode.Message
import im.epode.NotOnlineException
import im.epode.Notice
import im.epode.Offered
import im.epode.Offline
import im.epode.Online
import im.epode.Presence
import im.epode.Profile
import im.epode.Request
import im.epode.ServerProof
import im.epode.Stage
import im.epode.StanzaTooLargeException
import im.epode.Task
import im.epode.TokenRefusal
import im.epode.Transport
import im.epode.Xml
import im.epode.engine.OfflineReason
import im.epode.engine.Refused
import im.epode.engine.StanzaKind
import java.time.Duration
import im.epode.engine.Event as EngineEvent
import im.epode.engine.Stanza as EngineStanza

/** What the application gets of an event; null for what the driver keeps to itself. */
internal fun event(event: EngineEvent, now: ULong): Event? = when (event) {
    is EngineEvent.Online -> online(event)
    is EngineEvent.Interrupted -> Interrupted(
        offline(event.reason),
        event.retryAtMs?.let { Duration.ofMillis(if (it > now) (it - now).toLong() else 0) },
        event.resumable,
    )
    is EngineEvent.Offered -> Offered(Xml(event.features), same(event.transport), event.encrypted)
    is EngineEvent.Offline -> offline(event.reason)
    is EngineEvent.Stanza -> stanza(event.stanza)
    is EngineEvent.Request ->
        with(event.iq) { Request(from, to, type, id, Xml(xml), event.token.toLong()) }
    is EngineEvent.Delivery -> Delivery(event.token.toLong(), same(event.stage))
    is EngineEvent.Warning -> Notice(event.code, event.sentence)
    is EngineEvent.Task, is EngineEvent.IqDone, EngineEvent.Writable -> null
}

internal fun task(task: EngineEvent.Task): Task = Task(task.task, task.payload?.let { Xml(it) }, task.text)

internal fun answer(iq: EngineStanza): Answer = Answer(iq.from, iq.id, Xml(iq.xml))

internal fun offline(reason: OfflineReason): Offline = Offline(
    // A later engine may blame somebody whom this façade does not know.
    blame = Blame.entries.find { it.name == reason.blame.name } ?: Blame.INTERNAL,
    code = reason.code,
    sentence = reason.sentence,
    detail = reason.detail,
    condition = reason.condition,
    text = reason.text,
    token = reason.token?.let { TokenRefusal(it.status, it.scope, it.openidConfiguration) },
)

/** What a refused call is for the application. */
internal fun refused(refused: Refused): EpodeException = when (refused) {
    is Refused.Misuse -> ConfigurationException(refused.why)
    is Refused.Full -> EpodeException("the outbound queue is full: wait for the server to take what is in it")
    is Refused.TooLarge -> StanzaTooLargeException(
        "the stanza has ${refused.bytes} bytes; at most ${refused.maximum} are sent",
    )
    is Refused.Invalid -> InvalidStanzaException(refused.why)
    is Refused.NotStarted -> NotOnlineException(NOT_ONLINE)
    is Refused.Snapshot -> ConfigurationException(refused.why)
    is Refused.Xml -> InvalidStanzaException("this is not one XML element: ${refused.why}")
    is Refused.Jid -> ConfigurationException("this is no JID: ${refused.why}")
    is Refused.Key -> ConfigurationException(refused.why)
    is Refused.Configuration -> ConfigurationException(refused.why)
    is Refused.Closed -> EpodeException("the client is dead after a fault of epode's own: make a new one, and report it")
}

internal const val NOT_ONLINE: String = "not online: the session has not begun, or is over"

private fun online(event: EngineEvent.Online) = Online(
    jid = event.jid,
    mechanism = event.mechanism,
    serverProof = same(event.serverProof),
    channelBinding = event.channelBinding?.let { same<ChannelBinding>(it) },
    profile = event.profile?.let { same<Profile>(it) },
    resumed = event.resumed,
    clientCertificateRequested = event.clientCertificateRequested,
    roundTrips = event.roundTrips.toInt(),
    transport = same(event.transport),
)

private fun stanza(stanza: EngineStanza): Event = with(stanza) {
    when (kind) {
        StanzaKind.MESSAGE -> Message(from, to, type, id, Xml(xml), body)
        StanzaKind.PRESENCE, StanzaKind.IQ -> Presence(from, to, type, id, Xml(xml))
    }
}

/** The value of the same name: the façade's enums have the names of the engine's. */
internal inline fun <reified T : Enum<T>> same(value: Enum<*>): T = enumValueOf<T>(value.name)
