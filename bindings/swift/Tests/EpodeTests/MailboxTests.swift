// The events that wait: their order, and what is kept of the news that nobody reads.
import Foundation
import Testing

@testable import Epode

@Suite struct Waiting {
    private func delivery(_ token: UInt64, _ stage: Delivery.Stage) -> Event {
        .delivery(Delivery(stanza: SentStanza(token: token), stage: stage))
    }

    private func message(_ body: String) -> Event {
        .message(Message(from: nil, to: nil, type: nil, id: nil, xml: Data(), body: body))
    }

    private func all(_ mailbox: inout Mailbox) -> [String] {
        var seen: [String] = []
        while let event = mailbox.take() {
            switch event {
            case .delivery(let delivery): seen.append("\(delivery.stanza.token) \(delivery.stage)")
            case .message(let message): seen.append(message.body ?? "")
            case .notice(let notice): seen.append(notice.code + notice.sentence.filter(\.isNumber))
            default: seen.append("another")
            }
        }
        return seen
    }

    @Test func eventsComeInTheirOrder() {
        var mailbox = Mailbox(limit: 10)
        for event in [message("a"), delivery(1, .queued), message("b"), delivery(2, .sent), delivery(3, .sent), message("c")] { mailbox.put(event) }
        #expect(mailbox.count == 6)
        #expect(mailbox.fromOthers == 3)
        #expect(all(&mailbox) == ["a", "1 queued", "b", "2 sent", "3 sent", "c"])
        #expect(mailbox.count == 0)
        #expect(mailbox.fromOthers == 0)
    }

    @Test func ofOneStanzaTheNewestNewsWaits() {
        var mailbox = Mailbox(limit: 10)
        for event in [delivery(1, .queued), message("a"), delivery(1, .sent), delivery(2, .sent), delivery(1, .acked)] { mailbox.put(event) }
        #expect(all(&mailbox) == ["1 acked", "a", "2 sent"])
        // What was read is not replaced any more.
        mailbox.put(delivery(2, .failed))
        #expect(all(&mailbox) == ["2 failed"])
    }

    @Test func ofTooMuchNewsTheOldestGoesAndIsCounted() {
        var mailbox = Mailbox(limit: 3)
        mailbox.put(message("a"))
        for token in 1...5 as ClosedRange<UInt64> { mailbox.put(delivery(token, .sent)) }
        mailbox.put(message("b"))
        // One that went comes again as one of its own.
        mailbox.put(delivery(1, .acked))
        #expect(mailbox.count == 6)
        #expect(all(&mailbox) == ["a", "deliveries_lost3", "4 sent", "5 sent", "b", "1 acked"])
    }

    @Test func manyStanzasThatNobodyReadsOfAreHeldWithinTheLimit() {
        var mailbox = Mailbox(limit: 1_000)
        for token in 0..<200_000 as Range<UInt64> {
            mailbox.put(delivery(token, .sent))
            mailbox.put(delivery(token, .acked))
        }
        #expect(mailbox.count == 1_001)
        let seen = all(&mailbox)
        #expect(seen.first == "deliveries_lost199000")
        #expect(seen.dropFirst() == (199_000..<200_000).map { "\($0) acked" }[...])
    }
}
