// What the actor holds of one link: who opens, reads and writes it, and what waits to be written.
import Foundation

/// What the engine orders on a connection.
enum Order: Sendable {
    case write(Data)
    case startTLS(serverName: String)
    case close
}

/// What the writer does next.
enum Duty: Sendable {
    case write([Data], count: Int)
    case startTLS(serverName: String)
    case close
    case wait
}

/// One link. It stays on the actor.
final class Link {
    enum Carrier {
        case stream(any StreamLink)
        case requests(any RequestLink)
    }

    /// Bytes that wait for one peer to take them (32 MiB). The engine counts what it hands out, and an application is refused long before; a
    /// peer that asks and asks and never reads is not, and gives its answers nowhere else to wait.
    static let maximumQueued = 32 << 20
    /// Bytes that are written together, and reported as one.
    static let batch = 64 << 10

    let id: UInt64
    var carrier: Carrier?
    var opener: Task<Void, Never>?
    var reader: Task<Void, Never>?
    var writer: Task<Void, Never>?
    var lastWords: Task<Void, Never>?
    var requests: [UInt64: Task<Void, Never>] = [:]
    /// Open while there is something for the writer.
    let work = Gate(open: false)
    private var orders: [Order] = []
    private var next = 0
    private(set) var queued = 0
    /// A write failed: what is still ordered has nowhere to go.
    var isBroken = false

    init(_ id: UInt64) {
        self.id = id
    }

    /// Whether there was room.
    func order(_ order: Order) -> Bool {
        if case .write(let bytes) = order {
            guard queued + bytes.count <= Self.maximumQueued else { return false }
            queued += bytes.count
        }
        orders.append(order)
        work.open()
        return true
    }

    func duty() -> Duty {
        // What was written goes, whatever ends the loop below.
        defer {
            orders.removeSubrange(..<next)
            next = 0
        }
        var pieces: [Data] = []
        var count = 0
        while next < orders.count {
            switch orders[next] {
            case .write(let bytes):
                if isBroken {
                    queued -= bytes.count
                    next += 1
                    continue
                }
                // A piece larger than a batch is a batch of its own.
                if count > 0 && count + bytes.count > Self.batch { return .write(pieces, count: count) }
                pieces.append(bytes)
                count += bytes.count
                next += 1
            case .startTLS(let serverName):
                if count > 0 { return .write(pieces, count: count) }
                next += 1
                return .startTLS(serverName: serverName)
            case .close:
                if count > 0 { return .write(pieces, count: count) }
                next += 1
                return .close
            }
        }
        if count > 0 { return .write(pieces, count: count) }
        work.close()
        return .wait
    }

    func wrote(_ count: Int) {
        queued -= count
    }
}
