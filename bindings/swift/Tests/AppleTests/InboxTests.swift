// What bridges callbacks to tasks: nothing is lost, nothing is resumed twice, nobody waits for ever.
import Foundation
import XCTest

@testable import Epode

/// A peer whose next arrival is decided by the test.
private final class Peer: @unchecked Sendable {
    private let lock = NSLock()
    private var asking: [@Sendable (Result<Inbox.Arrival, any Error>) -> Void] = []
    private var most = 0

    func receive(_ arrived: @escaping @Sendable (Result<Inbox.Arrival, any Error>) -> Void) {
        lock.withLock {
            asking.append(arrived)
            most = max(most, asking.count)
        }
    }

    /// Answers the receive that is under way, once there is one.
    func send(_ result: Result<Inbox.Arrival, any Error>) async {
        while true {
            if let arrived = lock.withLock({ asking.isEmpty ? nil : asking.removeFirst() }) { return arrived(result) }
            await Task.yield()
        }
    }

    /// How many receives were under way at once.
    var mostAtOnce: Int { lock.withLock { most } }
    var isAsked: Bool { lock.withLock { !asking.isEmpty } }
}

final class InboxTests: XCTestCase {
    private func data(_ text: String) -> Result<Inbox.Arrival, any Error> { .success(.data(Data(text.utf8))) }

    func testWhatArrivesIsReadInOrderAndNothingIsReadAhead() async throws {
        let peer = Peer(), inbox = Inbox(peer.receive)
        XCTAssertFalse(peer.isAsked)
        for text in ["one", "two", "three"] {
            async let next = inbox.next()
            await peer.send(data(text))
            let got = try await next
            XCTAssertEqual(got, Data(text.utf8))
            XCTAssertFalse(peer.isAsked)
        }
    }

    func testWhatArrivesAfterACancelledReadIsForTheNextOne() async throws {
        let peer = Peer(), inbox = Inbox(peer.receive)
        for round in 0..<200 {
            let read = Task { try await inbox.next() }
            // Cancelled before it waits, while it waits, or after.
            if round % 3 == 0 { while !peer.isAsked { await Task.yield() } }
            read.cancel()
            switch await read.result {
            case .success(let early): XCTFail("nothing was sent, and \(String(describing: early)) was read")
            case .failure(let error): XCTAssertTrue(error is CancellationError, "\(error)")
            }
            async let next = inbox.next()
            await peer.send(data("\(round)"))
            let got = try await next
            XCTAssertEqual(got, Data("\(round)".utf8))
        }
        XCTAssertEqual(peer.mostAtOnce, 1)
    }

    func testTheEndAndAnErrorStay() async throws {
        let closing = Peer(), closed = Inbox(closing.receive)
        async let last = closed.next()
        await closing.send(.success(.end(Data("bye".utf8))))
        let bye = try await last
        XCTAssertEqual(bye, Data("bye".utf8))
        for _ in 0..<2 {
            let end = try await closed.next()
            XCTAssertNil(end)
        }
        let breaking = Peer(), broken = Inbox(breaking.receive)
        let failed = Task { try await broken.next() }
        await breaking.send(.failure(LinkFailure.reset))
        for _ in 0..<2 {
            let result = await failed.result
            XCTAssertThrowsError(try result.get()) { XCTAssertEqual($0 as? LinkFailure, .reset) }
        }
        let again = await Task { try await broken.next() }.result
        XCTAssertThrowsError(try again.get()) { XCTAssertEqual($0 as? LinkFailure, .reset) }
    }

    func testOfAPromiseTheFirstCounts() async throws {
        let early = Promise<Int>()
        early.keep(.success(1))
        early.keep(.success(2))
        early.keep(.failure(LinkFailure.reset))
        let first = try await early.value()
        XCTAssertEqual(first, 1)
        for _ in 0..<200 {
            let late = Promise<Int>()
            let value = Task { try await late.value() }
            async let one: Void = late.keep(.success(1))
            async let two: Void = late.keep(.failure(LinkFailure.reset))
            _ = await (one, two)
            _ = await value.result
        }
    }
}
