// The events that wait for the application, in their order, and never more news of its own stanzas than a limit.
import Foundation

/// What waits to be read.
///
/// What others send is bounded by who reads it: the client stops reading. News of the application's own stanzas is not, since an application
/// that only sends would stop itself. So they are kept apart: of one stanza only the newest waits, and of too many the oldest goes.
struct Mailbox {
    private struct Letter<Content> {
        let number: UInt64
        var content: Content
    }

    /// News of so many stanzas is kept.
    let limit: Int
    private var last: UInt64 = 0
    private var others = Queue<Letter<Event>>()
    private var deliveries = Queue<Letter<Delivery>>()
    /// Where the news of a stanza waits.
    private var places: [SentStanza: Int] = [:]
    /// News that went, and that nobody was told of yet.
    private var gone = 0
    /// Of those that wait, how many others sent.
    private(set) var fromOthers = 0

    init(limit: Int) {
        self.limit = limit
    }

    var count: Int { others.count + deliveries.count + (gone > 0 ? 1 : 0) }

    mutating func put(_ event: Event) {
        if case .delivery(let delivery) = event {
            if let place = places[delivery.stanza] {
                deliveries[place].content = delivery
                return
            }
            last += 1
            places[delivery.stanza] = deliveries.append(Letter(number: last, content: delivery))
            if deliveries.count > limit, let oldest = deliveries.take() {
                places[oldest.content.stanza] = nil
                gone += 1
            }
            return
        }
        last += 1
        others.append(Letter(number: last, content: event))
        if event.isFromOthers { fromOthers += 1 }
    }

    mutating func take() -> Event? {
        let event = others.first
        if let delivery = deliveries.first, delivery.number < event?.number ?? .max {
            if gone > 0 {
                defer { gone = 0 }
                return .notice(
                    Notice(code: "deliveries_lost", sentence: "news of \(gone) stanzas that were sent is lost: nobody read the events meanwhile"))
            }
            deliveries.take()
            places[delivery.content.stanza] = nil
            return .delivery(delivery.content)
        }
        guard let event else { return nil }
        others.take()
        if event.content.isFromOthers { fromOthers -= 1 }
        return event.content
    }
}

/// First in, first out.
struct Queue<Element> {
    private var elements: [Element] = []
    /// Taken already; given back now and then, not each time.
    private var taken = 0
    /// The place of the first of `elements`.
    private var base = 0

    var count: Int { elements.count - taken }
    var first: Element? { count > 0 ? elements[taken] : nil }

    /// Its place, which stays the same until it is taken.
    @discardableResult
    mutating func append(_ element: Element) -> Int {
        elements.append(element)
        return base + elements.count - 1
    }

    subscript(place: Int) -> Element {
        get { elements[place - base] }
        set { elements[place - base] = newValue }
    }

    @discardableResult
    mutating func take() -> Element? {
        guard let first else { return nil }
        taken += 1
        // At least as many are given back as have to be moved.
        if taken == elements.count || (taken >= 512 && taken * 2 >= elements.count) {
            elements.removeSubrange(..<taken)
            base += taken
            taken = 0
        }
        return first
    }
}
