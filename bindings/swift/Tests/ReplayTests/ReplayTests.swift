// The golden logs, through the binding, come out to the same bytes.

import EpodeEngine
import Foundation
import XCTest

/// The repository's own files.
let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../../..").standardizedFileURL

/// What the logs under `password` were recorded with.
let password = "canary-Zq7-password"

/// How bytes get into the engine.
enum Way: CaseIterable {
    /// Within the enum, through `handle`.
    case handle
    /// By `received` and `responded`.
    case borrowed
}

/// What came of playing a log.
struct Replay {
    /// The log again, as this binding writes it.
    var entries: [JSON] = []
    /// After each input: the deadline and whether the engine wants to read.
    var turns: [String] = []
    /// How many proofs were put back or checked.
    var proofs = 0
}

/// Plays the inputs of a log; its outputs are only looked at for what a log hides.
func play(_ log: [JSON], _ way: Way) throws -> Replay {
    guard let header = log.first else { throw Unexpected("the log is empty") }
    let client = try client(of: header, password: password)
    var replay = Replay(), proofs = Proofs(password: password), deadline: Deadline?, jobs: [UInt64: Derivation] = [:]
    var expected = log.dropFirst().compactMap { try? $0.fields()["out"] }[...]
    for entry in log.dropFirst() {
        let fields = try entry.fields()
        guard let recorded = fields["in"] else {
            guard fields.keys.sorted() == ["out"] else { throw Unexpected("\(entry) is neither an input nor an output") }
            continue
        }
        let now: UInt64 = try fields["now", default: .null].number()
        replay.entries.append(entry)
        let (kind, value) = try recorded.variant()
        if kind == "connected" { try proofs.connected(value.fields()["info", default: .null]) }
        // The recorded hosts woke at a deadline or later, so a deadline behind a tick is one that this binding got wrong.
        if kind == "tick", deadline.map({ $0.atMs > now }) ?? true {
            throw Unexpected("a tick at \(now), when the deadline was \(deadline.map { "\($0)" } ?? "none")")
        }
        let input = try input(recorded, password: Data(password.utf8)) { try proofs.received($0) }
        if case .derived(let job, let key) = input, jobs[job]?.run().toBytes() != key.toBytes() {
            throw Unexpected("the key that was asked for is not the key in the log: \(entry)")
        }
        let step: Step
        do {
            switch (input, way) {
            case (.received(let link, let bytes), .borrowed): step = try client.received(now: now, link: link, bytes: bytes)
            case (.responded(let link, let request, let status, let body, let tls), .borrowed):
                step = try client.responded(now: now, link: link, request: request, status: status, body: body, tls: tls)
            default: step = try client.handle(now: now, input: input)
            }
        } catch is Refused {
            // A refusal has no outputs, and a log may have one.
            continue
        }
        deadline = step.deadline
        replay.turns.append("\(now): \(deadline.map { "\($0.name) at \($0.atMs)" } ?? "no deadline"), reads: \(step.wantsRead)")
        for output in step.outputs {
            if case .deriveKey(let job, let derivation) = output { jobs[job] = derivation }
            let got = try asEntry(output)
            replay.entries.append(.object(["out": try proofs.sent(got, expected: expected.popFirst() ?? .null)]))
        }
    }
    replay.proofs = proofs.count
    return replay
}

final class ReplayTests: XCTestCase {
    /// Every log there is, wherever it lies: one that cannot be replayed here fails.
    static func logs() throws -> [(name: String, log: [JSON])] {
        let folder = repository.appendingPathComponent("tests/transcripts")
        let names = try FileManager.default.subpathsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".jsonl") }
        return try names.sorted().map { ($0, try JSON.lines(of: folder.appendingPathComponent($0))) }
    }

    func testEveryLogComesOutAsItWasRecorded() throws {
        for (name, log) in try Self.logs() {
            for way in Way.allCases {
                let replay: Replay
                do {
                    replay = try play(log, way)
                } catch {
                    XCTFail("\(name), \(way): \(error)")
                    continue
                }
                let expected = try recorded(log)
                XCTAssertGreaterThan(expected.count, 10, name)
                for (index, pair) in zip(replay.entries, expected).enumerated() where pair.0 != pair.1 {
                    XCTFail("\(name), \(way), line \(index + 2):\n  got      \(pair.0)\n  expected \(pair.1)")
                    break
                }
                XCTAssertEqual(replay.entries.count, expected.count, "\(name), \(way)")
                XCTAssertEqual(replay.proofs, occurrences(of: "-proof*", in: log), "\(name), \(way)")
            }
        }
    }

    func testTheDeadlinesAreTheSameBothWays() throws {
        for (name, log) in try Self.logs() {
            XCTAssertEqual(try play(log, .handle).turns, try play(log, .borrowed).turns, name)
        }
    }

    /// The table of what each binding does says what is done here.
    func testTheTableNamesWhatIsReplayed() throws {
        let table = try JSON.read(Data(contentsOf: repository.appendingPathComponent("bindings/conformance/swift.json"))).fields()
        XCTAssertEqual(table["binding"], .string("swift"))
        XCTAssertEqual(table["transcripts"], .array(try Self.logs().map { .string($0.name) }))
        XCTAssertEqual(try table["vectors", default: .null].fields().keys.sorted(), VectorTests.vectors.sorted())
    }

    func testTheDeadlineAndTheStanzaCross() throws {
        let log = try JSON.lines(of: repository.appendingPathComponent("tests/transcripts/bosh-external.jsonl"))
        let turns = try play(log, .borrowed).turns
        XCTAssertEqual(turns.first, "1000: connect at 31000, reads: true")
        XCTAssertTrue(turns.last?.contains("no deadline") ?? false, "\(turns)")
    }

    /// The comparison can fail: a client that speaks another language does not say the same.
    func testAnotherClientIsNoticed() throws {
        var log = try JSON.lines(of: repository.appendingPathComponent("tests/transcripts/tcp-external.jsonl"))
        var header = try log[0].fields(), config = try header["config", default: .null].fields()
        config["language"] = .string("de")
        header["config"] = .object(config)
        log[0] = .object(header)
        XCTAssertNotEqual(try play(log, .borrowed).entries, try recorded(log))
    }

    /// A log that has something unknown cannot be replayed, and says so.
    func testWhatIsNotKnownIsRefused() throws {
        let log = try JSON.lines(of: repository.appendingPathComponent("tests/transcripts/tcp-external.jsonl"))
        let unknown: [JSON] = [
            .object(["now": .number(1000), "in": .string("wait")]),
            .object(["now": .number(1000), "in": .object(["ended": .object(["link": .number(1), "why": .null])])]),
            .object(["now": .number(1000), "said": .string("start")]),
        ]
        for entry in unknown {
            XCTAssertThrowsError(try play([log[0], entry], .handle), "\(entry)")
        }
    }

    /// The entries behind the header, with errors and warnings as they cross.
    private func recorded(_ log: [JSON]) throws -> [JSON] {
        try log.dropFirst().map { entry in try entry.fields()["out"].map { .object(["out": try named($0)]) } ?? entry }
    }

    private func occurrences(of text: String, in log: [JSON]) -> Int {
        log.map { "\($0)".components(separatedBy: text).count - 1 }.reduce(0, +)
    }
}
