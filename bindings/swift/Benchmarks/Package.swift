// swift-tools-version: 6.0
// What a call into the engine costs from Swift: a package of its own, so that nobody who uses epode builds it. See tests/bench/swift/run.
import PackageDescription

let library = Context.packageDirectory + "/Engine/lib"

let package = Package(
    name: "benchmarks",
    platforms: [.macOS(.v13)],
    targets: [
        .systemLibrary(name: "EpodeEngineFFI", path: "Engine/C"),
        .target(
            name: "EpodeEngine", dependencies: ["EpodeEngineFFI"], path: "Engine/Swift", swiftSettings: [.swiftLanguageMode(.v6)],
            linkerSettings: [.unsafeFlags(["-L", library, "-Xlinker", "-rpath", "-Xlinker", library])]),
        .executableTarget(
            name: "runner", dependencies: ["EpodeEngine"],
            swiftSettings: [.swiftLanguageMode(.v6), .unsafeFlags(["-warnings-as-errors"])]),
    ]
)
