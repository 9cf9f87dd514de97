// The runner of the generated Swift API, as tests/bench/README.md has it: a line in, a line out.

import EpodeEngine
import Foundation

do {
    guard let file = CommandLine.arguments.last, CommandLine.arguments.count > 1 else {
        throw Fault(description: "usage: runner WORKLOAD")
    }
    let workload = try Workload(file), engine = try workload.online()
    say("ready")
    while let line = readLine() {
        let words = line.split(separator: " ").map(String.init)
        guard words.count == 3, let size = workload.sizes[words[1]], let count = Int(words[2]), count > 0, count % 100 == 0 else {
            throw Fault(description: "a line is CASE SIZE COUNT, and COUNT is a multiple of 100; this is not: \(line)")
        }
        let run: () throws -> Int
        switch words[0] {
        case "nop": run = { nop(count) }
        case "single": run = { try turns(engine, workload, Data(size.stanza.utf8), count) }
        case "batch":
            let bytes = Data(String(repeating: size.stanza, count: 100).utf8)
            run = { try turns(engine, workload, bytes, count / 100) }
        case let other: throw Fault(description: "a case is nop, single or batch, not \(other)")
        }
        let start = DispatchTime.now().uptimeNanoseconds
        let sum = try run()
        let took = Double(DispatchTime.now().uptimeNanoseconds - start) / Double(count)
        say(String(format: "%.3f %d", took, sum))
    }
} catch {
    FileHandle.standardError.write(Data("runner: \(error)\n".utf8))
    exit(1)
}

func nop(_ count: Int) -> Int {
    for _ in 0..<count where epodeVersion().isEmpty { return -1 }
    return 0
}

/// What a driver does with what it read, but for its socket.
func turns(_ engine: Client, _ workload: Workload, _ bytes: Data, _ count: Int) throws -> Int {
    var sum = 0
    for _ in 0..<count {
        let step = try engine.received(now: workload.now, link: workload.link, bytes: bytes)
        for output in step.outputs {
            guard case .event(.stanza(let stanza, _)) = output else { continue }
            let kind = switch stanza.kind {
            case .message: "message"
            case .presence: "presence"
            case .iq: "iq"
            }
            sum += kind.utf8.count + (stanza.from?.utf8.count ?? 0) + (stanza.body?.utf8.count ?? 0)
        }
        guard step.wantsRead, step.deadline.map({ $0.atMs > workload.now }) ?? true else {
            throw Fault(description: "the engine stopped reading, or its deadline has passed: \(step)")
        }
    }
    return sum
}

func say(_ line: String) {
    print(line)
    fflush(nil)
}
