// The version of the library behind the package.
internal import EpodeEngine

/// The version of the engine's library that is loaded, as `0.1.0`.
public let version: String = epodeVersion()
