// The native library: that it loads, and that it is the one these classes were made with.
package im.epode

import im.epode.engine.epodeVersion

internal object Library {
    /** The version that these classes are of. */
    const val VERSION: String = "0.1.0"

    /** The version of the native library. */
    val version: String by lazy { epodeVersion() }

    /**
     * Refuses a native library of another version: what crosses would be misread. Throws [IllegalStateException].
     */
    fun check() {
        check(version == VERSION) {
            "The native library is of version $version and the classes are of $VERSION: take both from one jar, " +
                "and let no other libepode_uniffi stand in jna.library.path."
        }
    }
}
