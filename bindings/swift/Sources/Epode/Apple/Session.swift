// URLSession as the driver wants it: nothing kept, nothing followed, nothing guessed.
#if canImport(Network)
    import CryptoKit
    import Foundation
    @preconcurrency import Security
    import os

    /// One URLSession, with the tasks of one link.
    final class WebSession: NSObject, URLSessionWebSocketDelegate, URLSessionDataDelegate, Sendable {
        struct State: Sendable {
            /// What the first connection's server was; a later one has to be the same.
            var certificate: Data?
            var rejection: LinkFailure?
            var wasAsked = false
            /// By the identifiers of their tasks.
            var answers: [Int: Pending] = [:]
        }

        struct Pending: Sendable {
            var answer: RequestAnswer
            let limit: Int
            let promise: Promise<RequestAnswer>
        }

        let request: LinkRequest
        /// The subprotocol of the WebSocket, once it is open.
        let opened = Promise<String?>()
        let state = OSAllocatedUnfairLock(initialState: State())

        init(_ request: LinkRequest) {
            self.request = request
        }

        /// The session that this is the delegate of. It lives, and keeps this alive, until it is invalidated.
        func start() -> URLSession {
            let configuration = URLSessionConfiguration.ephemeral
            configuration.httpCookieStorage = nil
            configuration.httpShouldSetCookies = false
            configuration.httpCookieAcceptPolicy = .never
            configuration.urlCache = nil
            configuration.urlCredentialStorage = nil
            configuration.requestCachePolicy = .reloadIgnoringLocalAndRemoteCacheData
            configuration.connectionProxyDictionary = [:]
            configuration.tlsMinimumSupportedProtocolVersion = .TLSv12
            configuration.waitsForConnectivity = false
            // The engine has the deadlines, and a BOSH request may wait for long (XEP-0124 §7.1).
            configuration.timeoutIntervalForRequest = 86_400
            configuration.timeoutIntervalForResource = 30 * 86_400
            return URLSession(configuration: configuration, delegate: self, delegateQueue: nil)
        }

        /// What holds for all connections of this session.
        func facts(isEncrypted: Bool) -> LinkFacts {
            let state = state.withLock { $0 }
            var facts = LinkFacts(isEncrypted: isEncrypted, verifiedName: state.certificate == nil ? nil : request.serverName)
            facts.clientCertificateRequested = isEncrypted && state.certificate != nil ? state.wasAsked : nil
            facts.clientCertificate = request.identity?.certificate
            facts.channelBindings.serverEndPoint = state.certificate.flatMap(serverEndPoint)
            return facts
        }

        func failure(_ error: any Error) -> any Error {
            if let rejection = state.withLock(\.rejection) { return rejection }
            guard let error = error as? URLError else { return error }
            if error.code == .cancelled { return CancellationError() }
            return linkFailure(error)
        }

        // MARK: Certificates

        func urlSession(_: URLSession, didReceive challenge: URLAuthenticationChallenge) async -> (URLSession.AuthChallengeDisposition, URLCredential?) {
            switch challenge.protectionSpace.authenticationMethod {
            case NSURLAuthenticationMethodServerTrust:
                guard let trust = challenge.protectionSpace.serverTrust else { return (.cancelAuthenticationChallenge, nil) }
                let result = verify(trust, request.serverName, request.trust)
                let isAccepted = state.withLock { state in
                    switch result {
                    case .success(let certificate) where state.certificate == nil || state.certificate == certificate:
                        state.certificate = certificate
                        return true
                    case .success:
                        state.rejection = .certificateRejected("another one than on the connection before")
                    case .failure(let rejection):
                        state.rejection = rejection
                    }
                    return false
                }
                return isAccepted ? (.useCredential, URLCredential(trust: trust)) : (.cancelAuthenticationChallenge, nil)
            case NSURLAuthenticationMethodClientCertificate:
                state.withLock { $0.wasAsked = true }
                // Without one, none: the system would look for one in the keychain.
                let credential = request.identity.map {
                    URLCredential(identity: $0.platform.identity, certificates: $0.platform.chain, persistence: .none)
                }
                return (.useCredential, credential)
            default:
                // A web server that wants a password gets none, and its answer is the answer.
                return (.useCredential, nil)
            }
        }

        // MARK: Tasks

        func urlSession(_: URLSession, task _: URLSessionTask, willPerformHTTPRedirection _: HTTPURLResponse, newRequest _: URLRequest) async -> URLRequest? {
            nil
        }

        func urlSession(_: URLSession, webSocketTask _: URLSessionWebSocketTask, didOpenWithProtocol subprotocol: String?) {
            opened.keep(.success(subprotocol))
        }

        func urlSession(_: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
            let isTooLarge = state.withLock { state in
                guard var pending = state.answers.removeValue(forKey: dataTask.taskIdentifier) else { return false }
                guard pending.answer.body.count + data.count <= pending.limit else {
                    pending.promise.keep(.failure(LinkFailure.http("the answer is larger than \(pending.limit) bytes")))
                    return true
                }
                pending.answer.body += data
                state.answers[dataTask.taskIdentifier] = pending
                return false
            }
            if isTooLarge { dataTask.cancel() }
        }

        func urlSession(_: URLSession, task: URLSessionTask, didFinishCollecting metrics: URLSessionTaskMetrics) {
            guard let version = metrics.transactionMetrics.last?.negotiatedTLSProtocolVersion else { return }
            state.withLock { state in
                switch version {
                case .TLSv12: state.answers[task.taskIdentifier]?.answer.tlsVersion = "1.2"
                case .TLSv13: state.answers[task.taskIdentifier]?.answer.tlsVersion = "1.3"
                default: break
                }
            }
        }

        func urlSession(_: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
            opened.keep(.failure(error.map(failure) ?? LinkFailure.http("the server did not open a WebSocket")))
            let (pending, certificate, wasAsked) = state.withLock {
                ($0.answers.removeValue(forKey: task.taskIdentifier), $0.certificate, $0.wasAsked)
            }
            guard var pending else { return }
            if let error { return pending.promise.keep(.failure(failure(error))) }
            guard let response = task.response as? HTTPURLResponse, let status = UInt16(exactly: response.statusCode) else {
                return pending.promise.keep(.failure(LinkFailure.http("the answer is no HTTP")))
            }
            pending.answer.status = status
            pending.answer.serverCertificateSHA256 = certificate.map { Data(SHA256.hash(data: $0)) }
            pending.answer.clientCertificateRequested = certificate == nil ? nil : wasAsked
            pending.promise.keep(.success(pending.answer))
        }
    }

    /// The URL, if it is one of these schemes.
    func address(_ text: String, _ schemes: [String]) throws -> URL {
        guard let url = URL(string: text), let scheme = url.scheme?.lowercased(), schemes.contains(scheme) else {
            throw LinkFailure.other("this is no URL of \(schemes.joined(separator: " or "))")
        }
        return url
    }

    private func linkFailure(_ error: URLError) -> LinkFailure {
        switch error.code {
        case .cannotFindHost, .dnsLookupFailed: return .unknownHost
        case .cannotConnectToHost: return .refused
        case .timedOut: return .timeout
        case .networkConnectionLost: return .reset
        case .badServerResponse: return .http("it is not what was asked for")
        case .secureConnectionFailed, .clientCertificateRejected, .clientCertificateRequired, .serverCertificateUntrusted,
            .serverCertificateHasBadDate, .serverCertificateNotYetValid, .serverCertificateHasUnknownRoot:
            // The number of the TLS library is only there (Apple, "Secure Transport result codes").
            if let status = error.userInfo["_kCFStreamErrorCodeKey"] as? Int { return tlsFailure(status) }
            return .other(error.localizedDescription)
        default: return .other(error.localizedDescription)
        }
    }
#endif
