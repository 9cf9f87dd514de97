// What a login may and may not be, and what a client says about itself.
package im.epode

import im.epode.engine.ChannelBindingType
import im.epode.engine.DigestMd5
import im.epode.engine.Mechanisms

/**
 * Which SASL mechanisms may be used, of those that the credentials allow. The order of preference is the engine's: EXTERNAL, tokens (HT), SCRAM
 * with channel binding (SHA-512, -384, -256, -1), SCRAM without, OAUTHBEARER, X-OAUTH2, DIGEST-MD5, PLAIN, ANONYMOUS.
 */
public class Policy {
    /** PLAIN shows the password to the server. */
    public var allowPlain: Boolean = false

    /** DIGEST-MD5 (RFC 2831, historic). */
    public var allowDigestMd5: Boolean = false

    /** The realm of DIGEST-MD5, whatever the server offers; null: the one that is called like the domain, or the only one. */
    public var digestMd5Realm: String? = null

    /** Only these, if set. */
    public var only: List<String>? = null

    /** Nothing that stands behind this one in the order of preference, if set. */
    public var least: String? = null

    /** Bind to these only, if set. What this driver gives depends on the JDK: see the README. */
    public var channelBindings: List<ChannelBinding>? = null

    /** The fewest iterations that a SCRAM server may ask for. */
    public var scramMin: Int = 4_096

    /** The most. */
    public var scramMax: Int = 2_000_000

    /** Use SASL2 (XEP-0388) where the server has it. */
    public var sasl2: Boolean = true

    /** Log in with the first message where an earlier login has shown that the server takes it. SASL2 on TCP and WebSocket only. */
    public var pipeline: Boolean = true

    /** Refuse less than the strongest class of mechanism that the server has offered to this account before. */
    public var pin: Boolean = true

    /** Channel binding that was there before has to be there again. */
    public var pinChannelBinding: Boolean = false

    /** Take a login by token where the server does not prove that it knows the token. A wrong proof is never taken. */
    public var allowMissingHtServerProof: Boolean = false

    /** Give the server the means for a stronger SCRAM where it asks for them (XEP-0480), after it has proved itself. */
    public var upgrade: Boolean = false

    internal fun mechanisms(): Mechanisms {
        if (scramMin < 0 || scramMax < scramMin) {
            throw ConfigurationException("a SCRAM server may ask for $scramMin to $scramMax iterations: that is no range")
        }
        return Mechanisms(
            allowPlain = allowPlain,
            digestMd5 = if (allowDigestMd5) DigestMd5(realm = digestMd5Realm) else null,
            only = only,
            least = least,
            channelBindings = channelBindings?.map { ChannelBindingType.valueOf(it.name) },
            scramMin = scramMin.toUInt(),
            scramMax = scramMax.toUInt(),
            sasl2 = sasl2,
            pipeline = pipeline,
            pin = pin,
            pinChannelBinding = pinChannelBinding,
            allowMissingHtServerProof = allowMissingHtServerProof,
            upgrade = upgrade,
        )
    }
}

/** Whether login tokens (XEP-0484) are used: [USE], neither asked for nor used ([OFF]), or used a last time ([INVALIDATE]). */
public enum class Fast { USE, OFF, INVALIDATE }

/** What became of the device's network. */
public enum class Network { UP, DOWN, CHANGED }

/** When TLS begins on a TCP connection: at once (XEP-0368), or when both sides have agreed on it (RFC 6120 §5). */
public enum class Tls { DIRECT, START_TLS }
