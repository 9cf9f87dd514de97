// The links of a client: a task opens each, one reads from it and one writes to it, and none of them keeps the client alive.
import Foundation
internal import EpodeEngine

/// How long the last bytes may take after `Close`.
private let flush = Duration.seconds(2)

/// How long the reader may look for the reason after a write has failed: a server that ends a stream says why first.
private let lastWords = Duration.seconds(2)

extension Client {
    func open(_ id: UInt64, _ endpoint: Endpoint, _ serverName: String, presents label: String?, maximum: Int) {
        let link = Link(id)
        links[id] = link
        let network = options.network
        let bare = serverName.hasPrefix("[") ? String(serverName.dropFirst().dropLast()) : serverName
        let request = LinkRequest(
            serverName: bare, identity: label.flatMap { identities[$0] }, trust: options.trust, maximumMessage: maximum)
        link.opener = tasks.start { [weak self] in
            do {
                switch endpoint {
                case .tcp(let host, let port, let tls):
                    let stream = try await network.connect(host: host, port: port, security: tls == .direct ? .direct : .startTLS, request: request)
                    let facts = await stream.facts
                    if await self?.opened(id, .stream(stream), facts, serverName) != true { await stream.close() }
                case .webSocket(let url):
                    let stream = try await network.connect(webSocket: url, request: request)
                    let facts = await stream.facts
                    if await self?.opened(id, .stream(stream), facts, serverName) != true { await stream.close() }
                case .bosh(let url):
                    let requests = try await network.connect(bosh: url, request: request)
                    let facts = await requests.facts
                    if await self?.opened(id, .requests(requests), facts, serverName) != true { await requests.close() }
                }
            } catch {
                await self?.failed(id, error)
            }
        }
    }

    /// Whether the link is still wanted.
    private func opened(_ id: UInt64, _ carrier: Link.Carrier, _ facts: LinkFacts, _ serverName: String) -> Bool {
        guard offline == nil, let link = links[id] else { return false }
        link.carrier = carrier
        link.opener = nil
        if case .stream(let stream) = carrier {
            link.reader = startReader(id, stream)
            link.writer = startWriter(id, stream, link.work)
        }
        connected(link, facts, serverName)
        return true
    }

    private func connected(_ link: Link, _ facts: LinkFacts, _ serverName: String) {
        var info = facts.native
        // The engine compares with the name that it gave.
        if facts.verifiedName != nil { info.verified = .host(name: serverName) }
        tell(.connected(link: link.id, info: info))
        // A slow application is slow on the next link too.
        if !reads { tell(.reading(link: link.id, reading: false)) }
    }

    // MARK: Bytes and messages

    private func startReader(_ id: UInt64, _ stream: any StreamLink) -> Task<Void, Never> {
        tasks.start { [weak self, mayRead] in
            do {
                while true {
                    await mayRead.wait()
                    try Task.checkCancellation()
                    guard let bytes = try await stream.read() else { break }
                    guard let self else { return }
                    await self.received(id, bytes)
                }
                await self?.ended(id)
            } catch {
                if !Task.isCancelled { await self?.failed(id, error) }
            }
        }
    }

    private func startWriter(_ id: UInt64, _ stream: any StreamLink, _ work: Gate) -> Task<Void, Never> {
        tasks.start { [weak self] in
            loop: while !Task.isCancelled {
                guard let duty = await self?.duty(id) else { break }
                do {
                    switch duty {
                    case .wait: await work.wait()
                    case .close: break loop
                    case .write(let pieces, let count):
                        try await stream.write(pieces)
                        await self?.wrote(id, count)
                    case .startTLS(let serverName):
                        // Nobody reads during the handshake; what was read already goes to the engine, never into TLS.
                        await self?.reader(of: id)?.value
                        let facts = try await stream.startTLS(serverName)
                        await self?.secured(id, facts, serverName, stream)
                    }
                } catch {
                    let isHandshake = if case .startTLS = duty { true } else { false }
                    await self?.notWritten(id, error, atOnce: isHandshake)
                }
            }
            await stream.close()
            await self?.closed(id)
        }
    }

    private func received(_ id: UInt64, _ bytes: Data) {
        if links[id] != nil { tellReceived(id, bytes) }
    }

    private func ended(_ id: UInt64) {
        if links[id] != nil { tell(.ended(link: id)) }
    }

    private func failed(_ id: UInt64, _ error: any Error) {
        if offline == nil, links[id] != nil { tell(.failed(link: id, request: nil, reason: failure(error))) }
    }

    private func duty(_ id: UInt64) -> Duty? {
        (links[id] ?? closing[id])?.duty()
    }

    private func wrote(_ id: UInt64, _ count: Int) {
        guard let link = links[id] ?? closing[id] else { return }
        link.wrote(count)
        if links[id] != nil { tell(.written(link: id, bytes: UInt64(count))) }
    }

    private func notWritten(_ id: UInt64, _ error: any Error, atOnce: Bool) {
        guard let link = links[id] else {
            closing[id]?.isBroken = true
            return
        }
        link.isBroken = true
        if atOnce { return failed(id, error) }
        link.lastWords = tasks.start { [weak self] in
            try? await Task.sleep(for: lastWords)
            if !Task.isCancelled { await self?.failed(id, error) }
        }
    }

    private func reader(of id: UInt64) -> Task<Void, Never>? {
        let reader = links[id]?.reader
        reader?.cancel()
        return reader
    }

    private func secured(_ id: UInt64, _ facts: LinkFacts, _ serverName: String, _ stream: any StreamLink) {
        guard let link = links[id] else { return }
        link.reader = startReader(id, stream)
        connected(link, facts, serverName)
    }

    func order(_ id: UInt64, _ order: Order) {
        guard let link = links[id] else { return }
        if !link.order(order) {
            tell(.failed(link: id, request: nil, reason: .other(reason: "the server takes nothing of what is sent to it")))
        }
    }

    // MARK: Requests

    func post(_ id: UInt64, _ request: UInt64, _ body: Data) {
        guard let link = links[id], case .requests(let requests) = link.carrier else { return }
        link.requests[request] = tasks.start { [weak self, mayRead] in
            do {
                let answer = try await requests.post(body)
                // What waits, waits here: the engine's next request is made only once this is answered.
                await mayRead.wait()
                await self?.responded(id, request, answer)
            } catch {
                await self?.requestFailed(id, request, error)
            }
        }
    }

    private func responded(_ id: UInt64, _ request: UInt64, _ answer: RequestAnswer) {
        guard links[id]?.requests.removeValue(forKey: request) != nil else { return }
        tellResponded(id, request, answer)
    }

    private func requestFailed(_ id: UInt64, _ request: UInt64, _ error: any Error) {
        guard links[id]?.requests.removeValue(forKey: request) != nil else { return }
        tell(.failed(link: id, request: request, reason: failure(error)))
    }

    // MARK: Close

    /// Flushes and closes, within some seconds. The link's id is dead.
    func close(link id: UInt64) {
        guard let link = links.removeValue(forKey: id) else { return }
        link.lastWords?.cancel()
        link.reader?.cancel()
        giveUpTask()
        switch link.carrier {
        case nil:
            link.opener?.cancel()
        case .stream:
            closing[id] = link
            _ = link.order(.close)
            let writer = link.writer
            tasks.start {
                try? await Task.sleep(for: flush)
                writer?.cancel()
            }
        case .requests(let requests):
            closing[id] = link
            let last = Array(link.requests.values)
            link.requests = [:]
            tasks.start {
                try? await Task.sleep(for: flush)
                for request in last { request.cancel() }
            }
            link.writer = tasks.start { [weak self] in
                for request in last { await request.value }
                await requests.close()
                await self?.closed(id)
            }
        }
    }

    private func closed(_ id: UInt64) {
        closing[id] = nil
    }
}
