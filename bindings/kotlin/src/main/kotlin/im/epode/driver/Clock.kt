// The engine's clock: it never runs backwards, and counts the time that the device sleeps where the platform has such a clock.
package im.epode.driver

import com.sun.jna.Function
import com.sun.jna.Memory
import com.sun.jna.Native
import com.sun.jna.Platform

/** One thread at a time. */
internal class Clock {
    private val boottime: Boottime? = Boottime.orNull()
    private var last = 0L

    /** Milliseconds since some moment of the past. */
    fun now(): ULong {
        val reading = boottime?.millis() ?: (System.nanoTime() / 1_000_000)
        last = maxOf(last, reading - ORIGIN)
        return last.toULong()
    }

    private companion object {
        /** System.nanoTime may be negative, and the engine's time is not. */
        val ORIGIN: Long = (Boottime.orNull()?.millis() ?: (System.nanoTime() / 1_000_000))
    }
}

/** CLOCK_BOOTTIME of Linux: System.nanoTime stands still while the device sleeps. */
private class Boottime(private val clockGettime: Function) {
    private val timespec = Memory(2L * Long.SIZE_BYTES)
    private val arguments = arrayOf<Any>(CLOCK_BOOTTIME, timespec)

    fun millis(): Long? {
        if (clockGettime.invokeInt(arguments) != 0) return null
        return timespec.getLong(0) * 1_000 + timespec.getLong(Long.SIZE_BYTES.toLong()) / 1_000_000
    }

    companion object {
        private const val CLOCK_BOOTTIME = 7

        fun orNull(): Boottime? {
            // Where `long` has 32 bits, a timespec has another shape.
            if (!(Platform.isLinux() || Platform.isAndroid()) || Native.LONG_SIZE != Long.SIZE_BYTES) return null
            return try {
                Boottime(Function.getFunction("c", "clock_gettime")).takeIf { it.millis() != null }
            } catch (_: UnsatisfiedLinkError) {
                null
            }
        }
    }
}
