// What an application holds: an actor that owns the engine, and what it can be asked for.
import Foundation
internal import EpodeEngine

/// One account, online until the application leaves. Made by `Epode.connect`; used once.
///
/// It may be used from any task. Read its ``events``: when ``waitingLimit`` stanzas wait, the client stops reading from the server until half of
/// them are taken.
public actor Client {
    /// Stanzas that may wait for the application before the client stops reading from the server; it goes on at half of it.
    public static let waitingLimit = 1_000

    /// Stanzas of the application's own of which news (``Event/delivery(_:)``) may wait. Of one stanza only the newest waits; beyond this limit
    /// the oldest goes, and a ``Event/notice(_:)`` with the code `deliveries_lost` stands in its place.
    public static let deliveriesLimit = 10_000

    /// Longer than the engine waits for the goodbye, which is the real limit (5 s).
    static let goodbye = Duration.seconds(10)

    let engine: EpodeEngine.Client
    let options: Options
    let state: StateFolder?
    /// Cancelled when the client goes.
    let tasks = TaskBag()
    /// The application's own handlers: cancelled too, but not waited for.
    let handlers = TaskBag()
    /// Of the task that is under way, if one is.
    var taskNumber: UInt64 = 0

    // The turn: see Turn.swift.
    var outputs: [Output] = []
    var isWorking = false
    var isStarted = false
    /// Something that has to be done first cannot be: nothing more is done.
    var isDead = false
    var deadline: UInt64?
    /// When the timer that runs fires.
    var timerFires: UInt64?
    var timer: Task<Void, Never>?

    // The links: see Links.swift.
    var links: [UInt64: Link] = [:]
    /// Closed, and not flushed yet.
    var closing: [UInt64: Link] = [:]
    /// By the label that the engine knows each by. A login that is under way goes on with the one it began with.
    var identities: [String: ClientIdentity] = [:]
    /// Closed while the application is slow.
    let mayRead = Gate(open: true)
    var reads = true
    var engineWantsRead = true

    // What the application sees.
    private var mailbox = Mailbox(limit: Client.deliveriesLimit)
    let news = Gate(open: false)
    /// Open once it is known how the first login ended.
    let changed = Gate(open: false)
    let over = Gate(open: false)
    let writable = Gate(open: true)
    var answers: [UInt64: Reply] = [:]
    /// Stanzas of the client's own, whose delivery is nobody's business.
    var own: Set<UInt64> = []
    var announcementWaits = false
    var wasOnline = false
    var failed: (any Error)?
    var derived: Data?
    private var provided = 0

    /// The full JID, while online: after an interruption it may be another one.
    public internal(set) var jid: String?
    /// Why the session is over, once it is.
    public internal(set) var offline: Offline?
    /// What the password became for this server, once it has logged in by SCRAM: for ``Credentials/scramKey(_:)``, and as secret as that.
    public internal(set) var scramKey: Data?

    init(jid: String, transports: [Transport], credentials: Credentials, options: Options) throws {
        self.options = options
        identities[firstIdentity] = credentials.identity
        state = try options.stateFolder.map { try StateFolder($0) }
        do {
            let config = try configuration(jid: jid, transports: transports, credentials: credentials, options: options)
            engine = try EpodeEngine.Client(config: config, seed: seed())
            for (slot, _) in StateFolder.slots {
                guard let stored = try state?.load(slot), !stored.isEmpty else { continue }
                do {
                    _ = try engine.handle(now: Clock.now(), input: .restore(slot: slot, bytes: stored))
                } catch Refused.Snapshot {
                    // Damaged, or of another account: the engine starts afresh, and what it stores next takes its place.
                }
            }
        } catch let refused as Refused {
            throw EpodeError(refused)
        }
    }

    /// Returns once online. However it fails, nothing is left behind.
    func logIn() async throws {
        isStarted = true
        tell(.clock(unixMs: Clock.wall()))
        tell(.start)
        await changed.wait()
        if Task.isCancelled {
            await close()
            throw CancellationError()
        }
        if !wasOnline, let offline {
            await close()
            throw failed ?? EpodeError(offline)
        }
    }

    /// Says goodbye and closes the connections: within about fifteen seconds, also if nobody answers, and also when the task is cancelled. Events
    /// that were not read yet can still be. Doing it twice is harmless.
    public func close() async {
        // A task of its own: what is left to do is left to do when this one is cancelled.
        await Task { await self.sayGoodbye() }.value
    }

    private func sayGoodbye() async {
        mayRead.open()
        if isStarted && offline == nil {
            tell(.stop)
            try? await within(Self.goodbye) { [over] in await over.wait() }
        }
        end(Offline(.stopped, code: "stopped", sentence: "offline, as asked"))
        for link in Array(links.keys) { close(link: link) }
        let writers = closing.values.flatMap { [$0.opener, $0.writer].compactMap { $0 } }
        for writer in writers { await writer.value }
        giveUpTask()
        tasks.cancelAll()
        await tasks.drain()
    }

    // MARK: Events

    /// What happens, ``Event/online(_:)`` first, ``Event/offline(_:)`` last. Each event is given once: one loop reads them.
    public nonisolated var events: Events { Events(client: self) }

    /// The events of a client.
    public struct Events: AsyncSequence, Sendable {
        let client: Client

        /// The place in the events is the client's, not the iterator's: the next loop goes on where this one stopped.
        public struct AsyncIterator: AsyncIteratorProtocol {
            let client: Client

            /// The next event; `nil` after the last, and when the task is cancelled.
            public mutating func next() async -> Event? { await client.nextEvent() }
        }

        public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(client: client) }
    }

    /// How many events wait to be read.
    public var waitingEvents: Int { mailbox.count }

    /// Of those, how many others sent.
    var waitingFromOthers: Int { mailbox.fromOthers }

    func nextEvent() async -> Event? {
        while true {
            if let event = mailbox.take() {
                if event.isFromOthers { judgeReading() }
                return event
            }
            if offline != nil { return nil }
            news.close()
            await news.wait()
            if Task.isCancelled { return nil }
        }
    }

    func queue(_ event: Event) {
        mailbox.put(event)
        news.open()
    }

    // MARK: What an application asks for

    /// Sends a chat message. What comes back names it in ``Delivery`` events. Waits while the outbound queue is full.
    @discardableResult
    public func sendMessage(to recipient: String, _ text: String) async throws -> SentStanza {
        do {
            return try await send(chat(to: recipient, text: text))
        } catch let refused as Refused {
            throw EpodeError(refused)
        }
    }

    /// Sends a `<message/>` or a `<presence/>`; one without a namespace is in `jabber:client`. As ``sendMessage(to:_:)``.
    @discardableResult
    public func send(_ xml: String) async throws -> SentStanza {
        try await send(Data(xml.utf8))
    }

    /// The same, of XML in UTF-8.
    @discardableResult
    public func send(_ xml: Data) async throws -> SentStanza {
        SentStanza(token: try await whenRoom(.send(xml: xml)))
    }

    /// Sends an `<iq/>` of type `get` or `set` and waits for its answer, by default for 60 seconds. Its `id` is replaced by one that nobody can guess.
    /// Cancelling the task gives the request up.
    ///
    /// - Throws: ``EpodeError/requestFailed(_:)`` for an error of the other side's, ``EpodeError/requestTimedOut``, or ``EpodeError/notOnline``
    ///   where the session ended first: whether the request was handled is not known then.
    public func request(_ xml: String, timeout: Duration? = nil) async throws -> Answer {
        let reply = Reply()
        let token = try await whenRoom(.request(xml: Data(xml.utf8), timeoutMs: timeout.map(milliseconds)), reply)
        await reply.done.wait()
        answers[token] = nil
        switch reply.result {
        case .answer(let iq): return Answer(iq)
        case .error(let error): throw EpodeError.requestFailed(StanzaError(error))
        case .timeout: throw EpodeError.requestTimedOut
        case .disconnected: throw EpodeError.notOnline
        case .cancelled: throw CancellationError()
        case nil:
            if offline == nil { tell(.cancel(token: token)) }
            throw CancellationError()
        }
    }

    /// Answers a request; `xml` is the element in the answer, if it has one.
    public func respond(to request: Request, with xml: String? = nil) throws {
        try feed(.respond(token: request.token, reply: .result(payload: xml.map { Data($0.utf8) })))
    }

    /// Answers a request with an error (RFC 6120 §8.3.3).
    public func refuse(_ request: Request, _ error: StanzaError = StanzaError()) throws {
        try feed(.respond(token: request.token, reply: .error(error: error.native)))
    }

    /// From the next login on these are the credentials: after an interruption for example. They must be for the same account.
    public func provide(_ credentials: Credentials) throws {
        provided += 1
        let label = "certificate \(provided)"
        identities[label] = credentials.identity
        try feed(.provide(credentials: credentials.native(label: label, allowInvalid: options.allowsInvalidCertificate)))
    }

    /// Whether somebody looks at the application: a server holds back what can wait while nobody does (XEP-0352).
    public func setForeground(_ foreground: Bool) throws {
        try feed(.foreground(foreground: foreground))
    }

    /// What the platform says of the network: connections that cannot work any more are given up, and the next attempt is made at once.
    public func networkChanged(to network: NetworkChange) throws {
        try feed(.network(network: network.native))
    }
}

/// What became of the network.
public enum NetworkChange: Sendable, Hashable {
    /// There is one again.
    case up
    /// There is none.
    case down
    /// It is another one.
    case changed

    var native: EpodeEngine.Network {
        switch self {
        case .up: .up
        case .down: .down
        case .changed: .changed
        }
    }
}

extension Client: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public nonisolated var description: String { "Epode.Client" }
    public nonisolated var debugDescription: String { description }
    public nonisolated var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

/// A request that has no answer yet. It stays on the actor, but for its gate.
final class Reply {
    let done = Gate(open: false)
    var result: IqResult?
}

func milliseconds(_ duration: Duration) -> UInt64 {
    let (seconds, attoseconds) = duration.components
    return UInt64(max(0, seconds)) * 1_000 + UInt64(max(0, attoseconds)) / 1_000_000_000_000_000
}
