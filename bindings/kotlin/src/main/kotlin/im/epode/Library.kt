// The native library: that it loads, and that it is the one these classes were made with.
package im.epode

import com.sun.jna.Native
import com.sun.jna.Platform
import im.epode.engine.epodeVersion
import im.epode.engine.uniffiEnsureInitialized
import java.io.IOException

/** The native library behind these classes. It comes with them in one jar, and is unpacked and loaded when it is first needed. */
public object Library {
    /** The version that these classes are of. */
    internal const val VERSION: String = "0.1.0"

    private const val NAME = "epode_uniffi"

    /** Where the generated classes look before anywhere else: the name of a library, or a path. */
    private const val OVERRIDE = "uniffi.component.epode.libraryOverride"

    private class Loaded(val version: String?, val error: String?, val cause: Throwable?)

    /** Once: after a failure the JVM only repeats that the classes could not be initialised, without the reason. */
    private val loaded: Loaded by lazy(::load)

    /**
     * The version of the native library.
     *
     * Throws [IllegalStateException] where there is none for this platform, or it is not the one that these classes were made with: its message
     * says what to do.
     */
    @JvmStatic
    public val version: String
        get() = loaded.version ?: throw IllegalStateException(loaded.error, loaded.cause)

    /** Refuses a native library that cannot be used. Throws [IllegalStateException]. */
    internal fun check() {
        version
    }

    private fun load(): Loaded {
        val resource = "/${Platform.RESOURCE_PREFIX}/${System.mapLibraryName(NAME)}"
        // The library of our own jar, before any that JNA would find elsewhere: one that somebody has installed may be of another build. On
        // Android there is none in the jar, and the system finds that of the application.
        val ours = if (System.getProperty(OVERRIDE) == null) Library::class.java.getResource(resource) else null
        val unpacked = try {
            ours?.let { Native.extractFromResourcePath(resource, Library::class.java.classLoader) }
        } catch (error: IOException) {
            return Loaded(null, "The native library of epode cannot be unpacked (${error.message}): name another folder by -Djna.tmpdir=FOLDER.", error)
        }
        if (unpacked != null) System.setProperty(OVERRIDE, unpacked.absolutePath)
        return try {
            uniffiEnsureInitialized()
            val version = epodeVersion()
            if (version == VERSION) Loaded(version, null, null) else Loaded(null, differs("it is of version $version, they are of $VERSION"), null)
        } catch (error: LinkageError) {
            val reason = error.cause ?: error
            Loaded(null, if (NAME in firstLine(reason) && System.getProperty(OVERRIDE) == null) absent() else differs(firstLine(reason)), error)
        } finally {
            // It is loaded by now. Where a file in use cannot be removed, it goes when the JVM ends.
            if (ours != null && ours.protocol != "file") unpacked?.delete()
        }
    }

    private fun absent(): String =
        "There is no native library of epode for this platform (${Platform.RESOURCE_PREFIX}) in the jar. Use a jar that was built on such a machine, or " +
            "build the library there (cargo build --release -p epode-uniffi) and name its folder by -Djna.library.path=FOLDER."

    private fun differs(how: String): String =
        "The native library of epode and its classes are not of one build: $how. Take both from one jar, and set neither " +
            "$OVERRIDE nor jna.library.path to a library of another build."

    private fun firstLine(error: Throwable): String = error.message.orEmpty().lineSequence().first().trimEnd('.')
}
