// One turn of the engine: an input goes in, and all that comes out is carried out in order.
import Foundation
internal import EpodeEngine

/// The outbound queue is full.
private struct Full: Error {}

/// Timers may stand still while a device sleeps, and the engine's clock does not: how late they can be after that.
private let longestSleep: UInt64 = 30_000

extension Client {
    /// Feeds an input of the application's once there is room for it, and gives its token.
    func whenRoom(_ input: Input, _ reply: Reply? = nil) async throws -> UInt64 {
        while true {
            try Task.checkCancellation()
            do {
                guard let token = try feed(input, reply) else { throw EpodeError.notOnline }
                return token
            } catch is Full {
                writable.close()
                await writable.wait()
            }
        }
    }

    @discardableResult
    func feed(_ input: Input, _ reply: Reply? = nil) throws -> UInt64? {
        guard isStarted, offline == nil else { throw EpodeError.notOnline }
        return try turn(reply) { try engine.handle(now: Clock.now(), input: input) }
    }

    /// For inputs that this driver gives only where the contract has them.
    func tell(_ input: Input) {
        guard offline == nil else { return }
        do {
            try feed(input)
        } catch {
            die(error)
        }
    }

    func tellReceived(_ link: UInt64, _ bytes: Data) {
        guard offline == nil else { return }
        do {
            try turn { try engine.received(now: Clock.now(), link: link, bytes: bytes) }
        } catch {
            die(error)
        }
    }

    func tellResponded(_ link: UInt64, _ request: UInt64, _ answer: RequestAnswer) {
        guard offline == nil else { return }
        do {
            try turn {
                try engine.responded(
                    now: Clock.now(), link: link, request: request, status: answer.status, body: answer.body, tls: answer.facts)
            }
        } catch {
            die(error)
        }
    }

    @discardableResult
    private func turn(_ reply: Reply? = nil, _ cross: () throws -> Step) throws -> UInt64? {
        let step: Step
        do {
            step = try cross()
        } catch Refused.Full {
            throw Full()
        } catch let refused as Refused {
            throw EpodeError(refused)
        }
        if let reply, let token = step.token { answers[token] = reply }
        engineWantsRead = step.wantsRead
        deadline = step.deadline?.atMs
        outputs.append(contentsOf: step.outputs)
        arm()
        carryOut()
        return step.token
    }

    /// An output may cause an input, whose outputs come after those that wait already.
    private func carryOut() {
        guard !isWorking else { return }
        isWorking = true
        var next = 0
        while next < outputs.count && !isDead {
            let output = outputs[next]
            next += 1
            `do`(output)
        }
        outputs.removeAll(keepingCapacity: true)
        isWorking = false
        judgeReading()
    }

    private func `do`(_ output: Output) {
        switch output {
        case .resolve(let query, let question, let deadline): resolve(query, question, deadline)
        case .store(let slot, let append, let bytes): store(slot, append, bytes)
        case .connect(let link, let endpoint, let serverName, let identity, let maximum):
            open(link, endpoint, serverName, presents: identity, maximum: Int(clamping: maximum))
        case .write(let link, let bytes): order(link, .write(bytes))
        case .frame(let link, let text): order(link, .write(Data(text.utf8)))
        case .startTls(let link, let serverName): order(link, .startTLS(serverName: serverName))
        case .post(let link, let request, let body, _): post(link, request, body)
        case .abandon(let link, let request): links[link]?.requests.removeValue(forKey: request)?.cancel()
        case .close(let link): close(link: link)
        case .deriveKey(let job, let derivation): derive(job, derivation)
        case .event(let event): happened(event)
        }
    }

    // MARK: The clock

    private func arm() {
        guard let deadline, offline == nil else { return }
        let now = Clock.now()
        let fires = min(max(deadline, now), now + longestSleep)
        // One that fires too early looks again.
        if let timerFires, timerFires <= fires { return }
        timer?.cancel()
        timerFires = fires
        timer = tasks.start { [weak self] in
            try? await Task.sleep(for: .milliseconds(Int64(clamping: fires - now)))
            if !Task.isCancelled { await self?.fired() }
        }
    }

    private func fired() {
        timerFires = nil
        timer = nil
        guard let deadline, offline == nil else { return }
        if Clock.now() >= deadline { tell(.tick) } else { arm() }
    }

    // MARK: What is done beside the actor

    private func derive(_ job: UInt64, _ derivation: Derivation) {
        tasks.start { [weak self] in
            let key = derivation.run()
            await self?.derived(job, key, key.toBytes())
        }
    }

    private func derived(_ job: UInt64, _ key: DerivedKey, _ bytes: Data) {
        derived = bytes
        tell(.derived(job: job, key: key))
    }

    private func resolve(_ query: UInt64, _ question: Question, _ deadline: UInt64) {
        let network = options.network
        let now = Clock.now()
        // The engine has gone on by then, and not because of this.
        let limit = Duration.milliseconds(Int64(clamping: max(deadline, now) - now) + 1_000)
        tasks.start { [weak self] in
            let resolution: Resolution
            do {
                resolution = try await within(limit) {
                    switch question {
                    case .srv(let name):
                        .records(
                            records: try await network.services(of: name).map {
                                SrvRecord(priority: $0.priority, weight: $0.weight, port: $0.port, target: $0.target)
                            })
                    case .document(let url, let maximum):
                        .document(bytes: try await network.document(at: url, limit: Int(clamping: maximum)))
                    }
                }
            } catch {
                resolution = .failed(reason: failure(error))
            }
            await self?.tell(.resolved(query: query, resolution: resolution))
        }
    }

    private func run(_ task: LoginTask) {
        guard let handler = options.tasks[task.name] else { return }
        giveUpTask()
        let number = taskNumber
        // Of the application's: it is cancelled with its login, and not waited for.
        handlers.start { [weak self] in
            do {
                let payload = try await handler(task)
                await self?.answer(number, payload)
            } catch {
                await self?.gaveUp(number, error)
            }
        }
    }

    /// What a handler that runs still says is for a login that is over: it must not reach the next one.
    func giveUpTask() {
        taskNumber += 1
        handlers.cancelAll()
    }

    private func answer(_ number: UInt64, _ payload: String?) {
        guard number == taskNumber else { return }
        do {
            try feed(.task(payload: payload.map { Data($0.utf8) }))
        } catch EpodeError.fault, EpodeError.notOnline {
            // The server has gone on without it.
        } catch {
            gaveUp(number, error)
        }
    }

    private func gaveUp(_ number: UInt64, _ error: any Error) {
        guard number == taskNumber, offline == nil else { return }
        failed = error
        if wasOnline { queue(.notice(Notice(code: "task_failed", sentence: error.localizedDescription))) }
        tell(.stop)
    }

    private func store(_ slot: Slot, _ append: Bool, _ bytes: Data) {
        do {
            try state?.write(slot, append: append, bytes)
        } catch {
            // What follows may be done only once this is stored.
            failed = error
            isDead = true
            end(Offline(.stopped, code: "store", sentence: "the login token cannot be stored: \(error)"))
            for link in Array(links.keys) { close(link: link) }
        }
    }

    // MARK: What happens

    private func happened(_ event: EpodeEngine.Event) {
        switch event {
        case .iqDone(let token, let result):
            let reply = answers.removeValue(forKey: token)
            reply?.result = result
            reply?.done.open()
            return
        case .writable:
            writable.open()
            if announcementWaits { announce() }
            return
        case .task(let task, let payload, let text):
            run(LoginTask(name: task, payload: payload, text: text))
            return
        case .delivery(let token, let stage) where own.contains(token):
            if stage == .acked || stage == .failed { own.remove(token) }
            return
        case .offline(let reason):
            end(Offline(reason))
            return
        case .online, .interrupted, .offered, .stanza, .request, .delivery, .warning:
            break
        }
        guard let event = Event(event, now: Clock.now()) else { return }
        queue(event)
        switch event {
        case .online(let online):
            jid = online.jid
            wasOnline = true
            // The key was right.
            if let derived { scramKey = derived }
            derived = nil
            changed.open()
            // A session that goes on has its presence already.
            if options.isAvailable && !online.isResumed { announce() }
        case .offered:
            wasOnline = true
            changed.open()
        case .interrupted:
            jid = nil
        case .message, .presence, .request, .delivery, .notice, .offline:
            break
        }
    }

    private func announce() {
        announcementWaits = false
        do {
            if let token = try feed(.send(xml: Data("<presence xmlns='jabber:client'/>".utf8))) { own.insert(token) }
        } catch is Full {
            // What the application sent while there was no session goes first.
            announcementWaits = true
        } catch {
            // Interrupted meanwhile: it is announced after the next login.
        }
    }

    /// A slow application makes the client stop reading, and the engine stop its clocks, or the server would look dead.
    func judgeReading() {
        guard offline == nil, !isWorking else { return }
        let room = reads ? waitingFromOthers < Self.waitingLimit : waitingFromOthers <= Self.waitingLimit / 2
        let reading = room && engineWantsRead
        guard reading != reads else { return }
        reads = reading
        if reading { mayRead.open() } else { mayRead.close() }
        for link in links.values where link.carrier != nil { tell(.reading(link: link.id, reading: reading)) }
    }

    // MARK: The end

    func end(_ reason: Offline) {
        guard offline == nil else { return }
        queue(.offline(reason))
        offline = reason
        jid = nil
        timer?.cancel()
        for reply in answers.values {
            reply.result = .disconnected
            reply.done.open()
        }
        answers = [:]
        for gate in [news, changed, over, writable, mayRead] { gate.open() }
    }

    /// The driver broke the contract: nothing that the engine would say can be relied on.
    private func die(_ error: any Error) {
        guard offline == nil else { return }
        isDead = true
        end(Offline(.epode, code: "fault", sentence: "a fault of epode's own, please report it: \(error)"))
        for link in Array(links.keys) { close(link: link) }
    }
}
