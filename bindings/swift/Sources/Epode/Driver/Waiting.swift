// The two things that everything else waits with: a gate, and a bag of tasks that end with their owner.
import Foundation

/// A gate that any number of tasks wait at, wherever they run.
final class Gate: @unchecked Sendable {
    private let lock = NSLock()
    private var isOpen: Bool
    private var last: UInt64 = 0
    private var waiting: [UInt64: CheckedContinuation<Void, Never>] = [:]

    init(open: Bool) {
        isOpen = open
    }

    func open() {
        let released = lock.withLock {
            isOpen = true
            defer { waiting = [:] }
            return waiting
        }
        for continuation in released.values { continuation.resume() }
    }

    func close() {
        lock.withLock { isOpen = false }
    }

    /// Returns when the gate is open, or this task cancelled.
    func wait() async {
        let id = lock.withLock {
            last += 1
            return last
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let goesOn = lock.withLock {
                    if isOpen || Task.isCancelled { return true }
                    waiting[id] = continuation
                    return false
                }
                if goesOn { continuation.resume() }
            }
        } onCancel: {
            lock.withLock { waiting.removeValue(forKey: id) }?.resume()
        }
    }
}

/// Tasks that are cancelled when their owner goes.
final class TaskBag: @unchecked Sendable {
    private let lock = NSLock()
    private var last: UInt64 = 0
    private var tasks: [UInt64: Task<Void, Never>] = [:]

    deinit {
        for task in tasks.values { task.cancel() }
    }

    /// Starts a task. What it does must not hold the owner of the bag while it waits.
    @discardableResult
    func start(_ work: @escaping @Sendable () async -> Void) -> Task<Void, Never> {
        lock.withLock {
            last += 1
            let id = last
            // Detached: what the caller's task has, its priority or its actor, is not meant for this.
            let task = Task.detached { [weak self] in
                await work()
                self?.remove(id)
            }
            tasks[id] = task
            return task
        }
    }

    private func remove(_ id: UInt64) {
        lock.withLock { tasks[id] = nil }
    }

    func cancelAll() {
        let all = lock.withLock { tasks.values.map { $0 } }
        for task in all { task.cancel() }
    }

    /// Returns when every task that was started so far is over.
    func drain() async {
        let all = lock.withLock { tasks.values.map { $0 } }
        for task in all { await task.value }
    }
}

/// What `work` gives, or ``LinkFailure/timeout``; `work` is cancelled then, and waited for.
func within<T: Sendable>(_ limit: Duration, _ work: @escaping @Sendable () async throws -> T) async throws -> T {
    try await withThrowingTaskGroup(of: T.self) { group in
        group.addTask { try await work() }
        group.addTask {
            try await Task.sleep(for: limit)
            throw LinkFailure.timeout
        }
        defer { group.cancelAll() }
        guard let first = try await group.next() else { throw LinkFailure.timeout }
        return first
    }
}
