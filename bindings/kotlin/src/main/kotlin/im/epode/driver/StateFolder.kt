// What survives the process: a folder with one file for each of the engine's slots, which only the user can read.
package im.epode.driver

import im.epode.ConfigurationException
import im.epode.engine.Slot
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.channels.FileChannel
import java.nio.file.AtomicMoveNotSupportedException
import java.nio.file.Files
import java.nio.file.NoSuchFileException
import java.nio.file.Path
import java.nio.file.StandardCopyOption
import java.nio.file.StandardOpenOption
import java.nio.file.attribute.FileAttribute
import java.nio.file.attribute.PosixFilePermission
import java.nio.file.attribute.PosixFilePermissions

/** It has no lock: give each account its own, and let one process use it at a time. */
internal class StateFolder(private val folder: Path) {
    private val posix = "posix" in folder.fileSystem.supportedFileAttributeViews()

    init {
        try {
            Files.createDirectories(folder, *mode("rwx------"))
            // What a process wrote that died before it was whole logs in as well.
            Files.newDirectoryStream(folder, ".{${Slot.entries.joinToString(",") { fileName(it) }}}.*.tmp").use { drafts ->
                drafts.forEach { Files.deleteIfExists(it) }
            }
        } catch (error: IOException) {
            throw unusable(error)
        }
    }

    /** All that was stored in the slot; null if that is nothing. */
    fun load(slot: Slot): ByteArray? {
        val path = path(slot)
        try {
            // What is in there is as good as a password.
            if (posix && Files.getPosixFilePermissions(path).any { it in OTHERS }) {
                throw ConfigurationException("others can read or write \"$path\", which logs in: chmod 600 it")
            }
            return Files.readAllBytes(path).takeIf { it.isNotEmpty() }
        } catch (_: NoSuchFileException) {
            return null
        } catch (error: IOException) {
            throw unusable(error)
        }
    }

    /** When this returns, the bytes survive a crash: the old ones or the new ones, nothing between. Throws [IOException]. */
    fun write(slot: Slot, append: Boolean, bytes: ByteArray) {
        val path = path(slot)
        val content = if (append) stored(slot) + bytes else bytes
        if (content.isEmpty()) {
            Files.deleteIfExists(path)
        } else {
            val draft = Files.createTempFile(folder, ".${path.fileName}.", null, *mode("rw-------"))
            try {
                FileChannel.open(draft, StandardOpenOption.WRITE).use { file ->
                    val left = ByteBuffer.wrap(content)
                    while (left.hasRemaining()) file.write(left)
                    file.force(true)
                }
                replace(draft, path)
            } finally {
                Files.deleteIfExists(draft)
            }
        }
        // Elsewhere a folder cannot be opened, and the system looks after its names.
        if (posix) FileChannel.open(folder, StandardOpenOption.READ).use { it.force(true) }
    }

    /** What cannot be read cannot be extended. */
    private fun stored(slot: Slot): ByteArray = try {
        load(slot) ?: ByteArray(0)
    } catch (error: ConfigurationException) {
        throw IOException(error.message, error)
    }

    private fun replace(draft: Path, path: Path) {
        try {
            Files.move(draft, path, StandardCopyOption.ATOMIC_MOVE)
        } catch (_: AtomicMoveNotSupportedException) {
            Files.move(draft, path, StandardCopyOption.REPLACE_EXISTING)
        }
    }

    private fun path(slot: Slot): Path = folder.resolve(fileName(slot))

    private fun fileName(slot: Slot): String = slot.name.lowercase()

    private fun mode(permissions: String): Array<FileAttribute<*>> =
        if (posix) arrayOf(PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString(permissions))) else arrayOf()

    private fun unusable(error: IOException) =
        ConfigurationException("the folder \"$folder\" cannot be used: ${error.message ?: error.javaClass.simpleName}", error)

    private companion object {
        val OTHERS: Set<PosixFilePermission> = PosixFilePermissions.fromString("---rwxrwx")
    }
}
