// One thread that waits for sockets and for libcurl, and runs the actors that use them: what they do needs no lock.
#if os(Linux)
    import CEpodeLinux
    import Foundation

    #if canImport(Glibc)
        import Glibc
    #elseif canImport(Musl)
        import Musl
    #endif

    /// A handle of libcurl's, which whoever has it leaves alone while the reactor has it.
    struct Easy: @unchecked Sendable {
        let handle: UnsafeMutableRawPointer
    }

    /// The executor of one link's actors.
    ///
    /// Its thread is there while something is waited for, and a moment longer; it keeps the reactor alive that long. What is not under the
    /// lock belongs to the thread, and so to the actors that it runs.
    final class Reactor: SerialExecutor, @unchecked Sendable {
        /// How long the thread stays with nothing to wait for: a link that is read from now and then needs no new one each time.
        private static let linger: Int32 = 500

        private static let isReady: Bool = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

        private struct Wait {
            let socket: Int32
            let events: Int16
            let continuation: CheckedContinuation<Void, any Error>
        }

        private struct Transfer {
            let easy: UnsafeMutableRawPointer
            let keeps: Bool
            let continuation: CheckedContinuation<CURLcode, any Error>
        }

        /// What other threads want of this one.
        private enum Wish {
            case run(UnownedJob)
            case wait(UInt64, Wait)
            case transfer(UInt64, Transfer)
            case giveUp(UInt64)
        }

        private let lock = NSLock()
        private var wishes: [Wish] = []
        private var last: UInt64 = 0
        private var hasThread = false

        private let multi: UnsafeMutableRawPointer?
        private var waits: [UInt64: Wait] = [:]
        private var transfers: [UInt64: Transfer] = [:]
        /// Connections that belong to a transfer that is done.
        private var kept: Set<UnsafeMutableRawPointer> = []
        private var isFinished = false
        /// What libcurl's callbacks use: it goes after the last connection.
        var keepsAlive: AnyObject?

        init() {
            multi = Self.isReady ? curl_multi_init() : nil
        }

        deinit {
            // Nobody waits: every wait keeps the thread, and the thread keeps this.
            if let multi { curl_multi_cleanup(multi) }
        }

        // MARK: From any thread

        func enqueue(_ job: consuming ExecutorJob) {
            wish(.run(UnownedJob(job)))
        }

        /// Returns when the socket is ready, or broken: then the next call on it says how.
        func wait(for events: Int32, on socket: Int32) async throws {
            let id = newID()
            try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { continuation in
                    wish(.wait(id, Wait(socket: socket, events: Int16(truncatingIfNeeded: events), continuation: continuation)))
                    // Whoever gave up before had nothing to give up.
                    if Task.isCancelled { wish(.giveUp(id)) }
                }
            } onCancel: {
                wish(.giveUp(id))
            }
        }

        /// Runs a transfer to its end. It is taken from libcurl then, unless it `keeps` its connection: ``release(_:)`` does it for those.
        func perform(_ easy: Easy, keeps: Bool) async throws -> CURLcode {
            let id = newID()
            return try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { continuation in
                    wish(.transfer(id, Transfer(easy: easy.handle, keeps: keeps, continuation: continuation)))
                    if Task.isCancelled { wish(.giveUp(id)) }
                }
            } onCancel: {
                wish(.giveUp(id))
            }
        }

        private func newID() -> UInt64 {
            lock.withLock {
                last += 1
                return last
            }
        }

        private func wish(_ wish: Wish) {
            let starts = lock.withLock {
                wishes.append(wish)
                if hasThread {
                    if let multi { curl_multi_wakeup(multi) }
                    return false
                }
                hasThread = true
                return true
            }
            if starts {
                let thread = Thread { self.run() }
                thread.name = "epode link"
                thread.start()
            }
        }

        // MARK: For the actors of this executor

        /// Whoever waits for the socket looks again, and finds that it is gone.
        func forget(_ socket: Int32) {
            for (id, wait) in waits where wait.socket == socket {
                waits[id] = nil
                wait.continuation.resume()
            }
        }

        /// Ends what a transfer holds.
        func release(_ easy: UnsafeMutableRawPointer) {
            if let multi, kept.remove(easy) != nil { curl_multi_remove_handle(multi, easy) }
        }

        /// The thread need not stay for more.
        func finish() {
            isFinished = true
        }

        // MARK: The thread

        private func run() {
            // A write to a connection that is gone is an error, not the end of the process.
            var signals = sigset_t()
            sigemptyset(&signals)
            sigaddset(&signals, SIGPIPE)
            pthread_sigmask(SIG_BLOCK, &signals, nil)
            var lingers = true
            while true {
                let wishes = lock.withLock {
                    defer { self.wishes = [] }
                    return self.wishes
                }
                for wish in wishes { grant(wish) }
                perform()
                let isIdle = waits.isEmpty && transfers.isEmpty
                if !wishes.isEmpty || !isIdle { lingers = true }
                if isIdle && (isFinished || !lingers) {
                    let ends = lock.withLock {
                        guard self.wishes.isEmpty else { return false }
                        hasThread = false
                        return true
                    }
                    if ends { return }
                    continue
                }
                lingers = false
                poll(isIdle ? Self.linger : 60_000)
            }
        }

        private func grant(_ wish: Wish) {
            switch wish {
            case .run(let job):
                job.runSynchronously(on: asUnownedSerialExecutor())
            case .wait(let id, let wait):
                waits[id] = wait
            case .transfer(let id, let transfer):
                guard let multi, curl_multi_add_handle(multi, transfer.easy) == CURLM_OK else {
                    transfer.continuation.resume(throwing: LinkFailure.other("libcurl cannot be used"))
                    return
                }
                kept.insert(transfer.easy)
                transfers[id] = transfer
            case .giveUp(let id):
                if let wait = waits.removeValue(forKey: id) {
                    wait.continuation.resume(throwing: CancellationError())
                } else if let transfer = transfers.removeValue(forKey: id) {
                    release(transfer.easy)
                    transfer.continuation.resume(throwing: CancellationError())
                }
            }
        }

        private func perform() {
            guard let multi, !transfers.isEmpty else { return }
            var running: Int32 = 0
            curl_multi_perform(multi, &running)
            var code = CURLE_OK
            while let easy = epode_multi_done(multi, &code) {
                guard let (id, transfer) = transfers.first(where: { $0.value.easy == easy }) else { continue }
                transfers[id] = nil
                if !transfer.keeps || code != CURLE_OK { release(easy) }
                transfer.continuation.resume(returning: code)
            }
        }

        private func poll(_ limit: Int32) {
            guard let multi else { return }
            let ids = Array(waits.keys)
            var sockets = ids.map { id in
                let wait = waits[id]
                return curl_waitfd(fd: wait?.socket ?? -1, events: wait?.events ?? 0, revents: 0)
            }
            // Jobs that came meanwhile have woken it.
            curl_multi_poll(multi, &sockets, UInt32(sockets.count), limit, nil)
            for (id, socket) in zip(ids, sockets) where socket.revents != 0 {
                waits.removeValue(forKey: id)?.continuation.resume()
            }
        }
    }
#endif
