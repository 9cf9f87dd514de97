// swift-tools-version: 6.0
// The Swift package: the engine behind generated sources, and the façade with its driver. Run ./prepare before the first build, on a Mac ./xcframework.
import PackageDescription

#if os(macOS)
    // Made by ./xcframework. Without unsafe flags, which SwiftPM allows in no package that another one depends on.
    let strict: [SwiftSetting] = [.swiftLanguageMode(.v6)]
    let engine: [LinkerSetting] = []
    let ffi = Target.binaryTarget(name: "EpodeEngineFFI", path: "Engine/EpodeEngineFFI.xcframework")
#else
    let library = Context.packageDirectory + "/Engine/lib"

    /// Every warning is an error in the sources of ours; the generated ones are as the generator makes them.
    let strict: [SwiftSetting] = [.swiftLanguageMode(.v6), .unsafeFlags(["-warnings-as-errors"])]

    /// Where the library is, for the linker now and for the loader later.
    let engine: [LinkerSetting] = [.unsafeFlags(["-L", library, "-Xlinker", "-rpath", "-Xlinker", library])]
    let ffi = Target.systemLibrary(name: "EpodeEngineFFI", path: "Engine/C")
#endif

var platform: [Target.Dependency] = []
var targets: [Target] = []

#if os(Linux)
    // Of the system: libcurl (7.85 or later) for BOSH and for finding hosts, OpenSSL 3 for TLS, the C library for DNS.
    targets.append(.target(name: "CEpodeLinux", linkerSettings: [.linkedLibrary("curl"), .linkedLibrary("ssl"), .linkedLibrary("crypto"), .linkedLibrary("resolv")]))
    platform.append("CEpodeLinux")
#endif

let package = Package(
    name: "epode",
    platforms: [.macOS(.v13), .iOS(.v16)],
    products: [.library(name: "Epode", targets: ["Epode"])],
    targets: targets + [
        ffi,
        .target(name: "EpodeEngine", dependencies: ["EpodeEngineFFI"], path: "Engine/Swift", swiftSettings: [.swiftLanguageMode(.v6)], linkerSettings: engine),
        .target(name: "Epode", dependencies: ["EpodeEngine"] + platform, swiftSettings: strict),
        .executableTarget(name: "echo", dependencies: ["Epode"], swiftSettings: strict),
        .testTarget(name: "EpodeTests", dependencies: ["Epode", "echo"] + platform, swiftSettings: strict),
        .testTarget(name: "AppleTests", dependencies: ["Epode"], swiftSettings: strict),
        .testTarget(name: "ReplayTests", dependencies: ["EpodeEngine"], swiftSettings: strict),
    ]
)
