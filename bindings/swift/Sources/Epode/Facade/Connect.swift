// The way in.
import Foundation

/// Logs in to the account `jid`, and gives the client once it is online.
///
/// ```swift
/// let client = try await Epode.connect("user01@example.org", .webSocket(url), credentials: .password("secret"))
/// ```
///
/// The first login is tried once on each of `transports`, in their order, so that you learn at once that it does not work; without any, DNS and the
/// server's host-meta say where it is. Say goodbye with ``Client/close()``. A client that is dropped without that closes its connections, and
/// the server notices sooner or later.
///
/// - Throws: ``EpodeError``: one of a ``EpodeError/reason`` where the login did not succeed, ``EpodeError/configuration(_:)`` for what cannot
///   work, before anything is sent. `CancellationError` when the task is cancelled; nothing is left behind then.
public func connect(
    _ jid: String, _ transports: Transport..., credentials: Credentials, options: Options = Options()
) async throws -> Client {
    try await connect(jid, transports: transports, credentials: credentials, options: options)
}

/// As ``connect(_:_:credentials:options:)``, with the transports in an array.
public func connect(
    _ jid: String, transports: [Transport], credentials: Credentials, options: Options = Options()
) async throws -> Client {
    let client = try Client(jid: jid, transports: transports, credentials: credentials, options: options)
    try await client.logIn()
    return client
}
