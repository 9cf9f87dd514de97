// What bridges callbacks to tasks that may be cancelled: one value that is to come, and a queue of arrivals that loses none. It needs nothing
// of Apple's, and is compiled everywhere so that it is tested everywhere.
import Foundation

/// One value, or one error, that is to come; the first counts. One task may wait for it, and whoever made it sees to it that it comes:
/// waiting does not end by itself when the task is cancelled.
final class Promise<Value: Sendable>: @unchecked Sendable {
    private enum State {
        case open
        case awaited(CheckedContinuation<Value, any Error>)
        case kept(Result<Value, any Error>)
    }

    private let lock = NSLock()
    private var state = State.open

    func keep(_ result: Result<Value, any Error>) {
        let waiting: CheckedContinuation<Value, any Error>? = lock.withLock {
            defer { if case .kept = state {} else { state = .kept(result) } }
            if case .awaited(let continuation) = state { return continuation }
            return nil
        }
        waiting?.resume(with: result)
    }

    func value() async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            let kept: Result<Value, any Error>? = lock.withLock {
                if case .kept(let result) = state { return result }
                state = .awaited(continuation)
                return nil
            }
            if let kept { continuation.resume(with: kept) }
        }
    }
}

/// What a peer sends, asked for piece by piece: nothing is read ahead of who asks.
///
/// A callback cannot be called off. So when the task that asked is cancelled, what arrives later is kept for the next one.
actor Inbox {
    enum Arrival: Sendable {
        case data(Data)
        /// The last data, if any: the peer has closed.
        case end(Data?)
    }

    typealias Receive = @Sendable (@escaping @Sendable (Result<Arrival, any Error>) -> Void) -> Void

    private let receive: Receive
    private var arrived: Result<Arrival, any Error>?
    private var waiting: (id: Int, continuation: CheckedContinuation<Data?, any Error>)?
    private var isReceiving = false
    private var lastID = 0

    init(_ receive: @escaping Receive) {
        self.receive = receive
    }

    /// The next piece; `nil` at the end, ever after. An error stays, too.
    func next() async throws -> Data? {
        lastID += 1
        let id = lastID
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                if Task.isCancelled {
                    continuation.resume(throwing: CancellationError())
                } else if arrived != nil {
                    continuation.resume(with: takeArrived())
                } else {
                    waiting = (id, continuation)
                    ask()
                }
            }
        } onCancel: {
            Task { await self.giveUp(id) }
        }
    }

    private func ask() {
        guard !isReceiving else { return }
        isReceiving = true
        receive { result in Task { await self.arrive(result) } }
    }

    private func arrive(_ result: Result<Arrival, any Error>) {
        isReceiving = false
        arrived = result
        guard let (_, continuation) = waiting else { return }
        waiting = nil
        continuation.resume(with: takeArrived())
    }

    private func takeArrived() -> Result<Data?, any Error> {
        switch arrived {
        case .success(.data(let data)):
            arrived = nil
            return .success(data)
        case .success(.end(let data)):
            arrived = .success(.end(nil))
            return .success(data)
        case .failure(let error): return .failure(error)
        case nil: return .failure(LinkFailure.other("nothing has arrived"))
        }
    }

    private func giveUp(_ id: Int) {
        guard let (waits, continuation) = waiting, waits == id else { return }
        waiting = nil
        continuation.resume(throwing: CancellationError())
    }
}
