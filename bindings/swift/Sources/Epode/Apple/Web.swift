// WebSocket and BOSH, by URLSession.
#if canImport(Network)
    import Foundation
    import os

    /// A WebSocket (RFC 6455) with the subprotocol `xmpp` (RFC 7395).
    final class WebSocketLink: StreamLink {
        private let session: URLSession
        private let delegate: WebSession
        private let task: URLSessionWebSocketTask
        private let isEncrypted: Bool
        private let subprotocol: String?
        private let inbox: Inbox

        static func open(_ text: String, _ request: LinkRequest) async throws -> WebSocketLink {
            let url = try address(text, ["wss", "ws"])
            let delegate = WebSession(request), session = delegate.start()
            let task = session.webSocketTask(with: url, protocols: ["xmpp"])
            task.maximumMessageSize = request.maximumMessage
            task.resume()
            do {
                let subprotocol = try await withTaskCancellationHandler {
                    try await delegate.opened.value()
                } onCancel: {
                    task.cancel()
                }
                return WebSocketLink(session, delegate, task, isEncrypted: url.scheme?.lowercased() == "wss", subprotocol)
            } catch {
                session.invalidateAndCancel()
                throw error
            }
        }

        private init(_ session: URLSession, _ delegate: WebSession, _ task: URLSessionWebSocketTask, isEncrypted: Bool, _ subprotocol: String?) {
            self.session = session
            self.delegate = delegate
            self.task = task
            self.isEncrypted = isEncrypted
            self.subprotocol = subprotocol
            inbox = Inbox { arrived in
                task.receive { result in
                    switch result {
                    case .success(.string(let text)): arrived(.success(.data(Data(text.utf8))))
                    // RFC 7395 §3.2.
                    case .success: arrived(.failure(LinkFailure.other("the server sent a message that is not text")))
                    case .failure(let error):
                        arrived(task.closeCode == .invalid ? .failure(delegate.failure(error)) : .success(.end(nil)))
                    }
                }
            }
        }

        var facts: LinkFacts {
            var facts = delegate.facts(isEncrypted: isEncrypted)
            facts.subprotocol = subprotocol
            return facts
        }

        func read() async throws -> Data? {
            try await inbox.next()
        }

        func write(_ pieces: [Data]) async throws {
            for piece in pieces {
                let sent = Promise<Void>(), (delegate, task) = (delegate, task)
                task.send(.string(String(decoding: piece, as: UTF8.self))) { error in
                    sent.keep(error.map { .failure(delegate.failure($0)) } ?? .success(()))
                }
                try await withTaskCancellationHandler {
                    try await sent.value()
                } onCancel: {
                    task.cancel()
                }
            }
        }

        func startTLS(_: String) async throws -> LinkFacts {
            throw LinkFailure.other("a WebSocket has no STARTTLS")
        }

        func close() async {
            task.cancel(with: .normalClosure, reason: nil)
            // The goodbye leaves before that, or the server is not there any more.
            let session = session
            DispatchQueue.global().asyncAfter(deadline: .now() + 2) { session.invalidateAndCancel() }
        }
    }

    /// The HTTP client of one BOSH session (XEP-0124).
    final class BOSHLink: RequestLink {
        private let session: URLSession
        private let delegate: WebSession
        private let url: URL

        init(_ text: String, _ request: LinkRequest) throws {
            url = try address(text, ["https", "http"])
            delegate = WebSession(request)
            session = delegate.start()
        }

        /// Before the first answer nothing is known of the connections: the engine asks for TLS by the URL, and each one is verified.
        var facts: LinkFacts {
            let isEncrypted = url.scheme?.lowercased() == "https"
            var facts = delegate.facts(isEncrypted: isEncrypted)
            facts.verifiedName = isEncrypted ? delegate.request.serverName : nil
            return facts
        }

        func post(_ body: Data) async throws -> RequestAnswer {
            var request = URLRequest(url: url)
            request.httpMethod = "POST"
            request.httpBody = body
            request.setValue("text/xml; charset=utf-8", forHTTPHeaderField: "Content-Type")
            return try await answer(to: request, delegate, session)
        }

        func close() async {
            session.invalidateAndCancel()
        }
    }

    /// The document at a URL (RFC 6415).
    func fetch(_ text: String, limit: Int) async throws -> Data {
        let url = try address(text, ["https"])
        guard let host = url.host else { throw LinkFailure.other("this URL has no host") }
        let delegate = WebSession(LinkRequest(serverName: host, maximumMessage: limit)), session = delegate.start()
        defer { session.invalidateAndCancel() }
        let answer = try await answer(to: URLRequest(url: url), delegate, session)
        guard answer.status == 200 else { throw LinkFailure.http("the answer has status \(answer.status)") }
        return answer.body
    }

    private func answer(to request: URLRequest, _ delegate: WebSession, _ session: URLSession) async throws -> RequestAnswer {
        var request = request
        // Nothing compressed: what is small on the way may be large here.
        request.setValue("identity", forHTTPHeaderField: "Accept-Encoding")
        request.httpShouldHandleCookies = false
        let task = session.dataTask(with: request), promise = Promise<RequestAnswer>()
        delegate.state.withLock {
            $0.answers[task.taskIdentifier] = WebSession.Pending(
                answer: RequestAnswer(status: 0, body: Data()), limit: delegate.request.maximumMessage, promise: promise)
        }
        task.resume()
        return try await withTaskCancellationHandler {
            try await promise.value()
        } onCancel: {
            task.cancel()
        }
    }
#endif
