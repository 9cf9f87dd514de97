// The engine's clock: it never runs backwards, and counts the time that a device sleeps.
import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

enum Clock {
    /// Milliseconds.
    static func now() -> UInt64 {
        #if canImport(Darwin)
            // mach_continuous_time, in nanoseconds: it goes on while the device sleeps.
            return clock_gettime_nsec_np(CLOCK_MONOTONIC_RAW) / 1_000_000
        #else
            var time = timespec()
            clock_gettime(CLOCK_BOOTTIME, &time)
            return UInt64(time.tv_sec) * 1_000 + UInt64(time.tv_nsec) / 1_000_000
        #endif
    }

    /// Milliseconds since 1970.
    static func wall() -> UInt64 {
        UInt64(max(0, Date().timeIntervalSince1970) * 1_000)
    }
}

/// What the engine draws everything unguessable from: 32 bytes of the system's generator, which is one for keys.
func seed() -> Data {
    var generator = SystemRandomNumberGenerator()
    var seed = Data(capacity: 32)
    for _ in 0..<4 {
        withUnsafeBytes(of: generator.next() as UInt64) { seed.append(contentsOf: $0) }
    }
    return seed
}
