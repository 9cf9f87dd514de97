// What a name server answers may be anything: the SRV records of RFC 2782 in messages of RFC 1035 §4.
#if os(Linux)
    import CEpodeLinux
    import Foundation
    import Testing

    @Suite struct Services {
        /// A message with `question` and these records, each whole.
        static func answer(_ records: [[UInt8]], count: Int? = nil) -> [UInt8] {
            let count = count ?? records.count
            let head: [UInt8] = [0x12, 0x34, 0x81, 0x80, 0, 1, UInt8(count >> 8), UInt8(count & 0xff), 0, 0, 0, 0]
            var message = head
            message += name("_xmpp-client", "_tcp", "example", "org")
            message += [0, 33, 0, 1]
            for record in records { message += record }
            return message
        }

        static func name(_ labels: String...) -> [UInt8] {
            var bytes: [UInt8] = []
            for label in labels {
                bytes.append(UInt8(label.utf8.count))
                bytes += Array(label.utf8)
            }
            return bytes + [0]
        }

        /// A record of that type for the question's name, which is at byte 12.
        static func record(_ type: UInt8 = 33, _ data: [UInt8], size: Int? = nil) -> [UInt8] {
            let size = size ?? data.count
            let head: [UInt8] = [0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, UInt8(size >> 8), UInt8(size & 0xff)]
            return head + data
        }

        static func srv(_ priority: UInt8, _ weight: UInt8, _ port: UInt16, _ target: [UInt8]) -> [UInt8] {
            let fixed: [UInt8] = [0, priority, 0, weight, UInt8(port >> 8), UInt8(port & 0xff)]
            return record(33, fixed + target)
        }

        /// `nil` if the answer is none. The bytes end where an access behind them would be noticed by a sanitizer.
        static func read(_ answer: [UInt8], room: Int = 64) -> [String]? {
            var services = [epode_service](repeating: epode_service(), count: room)
            let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: max(answer.count, 1))
            defer { bytes.deallocate() }
            bytes.initialize(from: answer, count: answer.count)
            let count = epode_services_in(bytes, answer.count, &services, Int32(room))
            guard count >= 0 else { return nil }
            return services.prefix(Int(count)).map { service in
                let target = withUnsafeBytes(of: service.target) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
                return "\(service.priority) \(service.weight) \(service.port) \(target)"
            }
        }

        @Test func recordsAreRead() {
            let alias = Self.record(5, Self.name("elsewhere", "example", "org"))
            // The second target goes on where the question says "example.org".
            let shortened: [UInt8] = [1, 0x62, 0xc0, 12 + 13 + 5]
            let records = [alias, Self.srv(1, 2, 5222, Self.name("a", "example", "org")), Self.srv(3, 4, 443, shortened)]
            #expect(Self.read(Self.answer(records)) == ["1 2 5222 a.example.org", "3 4 443 b.example.org"])
            // RFC 2782: the root as target says that there is no such service.
            #expect(Self.read(Self.answer([Self.srv(0, 0, 0, [0])])) == ["0 0 0 ."])
            #expect(Self.read(Self.answer([])) == [])
        }

        @Test func noMoreIsReadThanThereIsRoomFor() {
            let many = Self.answer((0..<100).map { Self.srv(UInt8($0), 0, 5222, Self.name("a")) })
            #expect(Self.read(many)?.count == 64)
            #expect(Self.read(many, room: 1) == ["0 0 5222 a"])
        }

        @Test func namesThatGoRoundAreRefused() {
            let start = UInt8(Self.answer([]).count + 12 + 6)
            // To itself, to a label before itself, and behind the end.
            #expect(Self.read(Self.answer([Self.srv(0, 0, 1, [0xc0, start])])) == nil)
            #expect(Self.read(Self.answer([Self.srv(0, 0, 1, [1, 0x61, 0xc0, start])])) == nil)
            #expect(Self.read(Self.answer([Self.srv(0, 0, 1, [0xff, 0xff])])) == nil)
            // Two that point to each other.
            #expect(Self.read(Self.answer([Self.srv(0, 0, 1, [0xc0, start + 2, 0xc0, start])])) == nil)
        }

        @Test func namesThatAreTooLongAreRefused() {
            let label = [UInt8(63)] + [UInt8](repeating: 0x61, count: 63)
            #expect(Self.read(Self.answer([Self.srv(0, 0, 1, label + label + label + label + [0])])) == nil)
            // What can be escaped grows fourfold in text.
            let strange = [UInt8(63)] + [UInt8](repeating: 0x01, count: 63)
            #expect(Self.read(Self.answer([Self.srv(0, 0, 1, strange + strange + [0])])) == nil)
        }

        @Test func sizesThatAreWrongAreRefused() {
            #expect(Self.read(Self.answer([Self.record(33, [0, 1, 0, 2, 0])])) == nil)
            #expect(Self.read(Self.answer([Self.record(33, [0, 1, 0, 2, 0, 3])])) == nil)
            #expect(Self.read(Self.answer([Self.record(33, [0, 1, 0, 2, 0, 3, 0], size: 0xffff)])) == nil)
            #expect(Self.read(Self.answer([Self.srv(0, 0, 1, [0])], count: 0xffff)) == nil)
            #expect(Self.read([]) == nil)
        }

        @Test func whatIsCutIsRefused() {
            let whole = Self.answer([Self.srv(1, 2, 5222, Self.name("a", "example", "org")), Self.srv(3, 4, 443, Self.name("b"))])
            #expect(Self.read(whole)?.count == 2)
            for size in 0..<whole.count { #expect(Self.read(Array(whole[..<size])) == nil, "\(size) bytes") }
        }

        @Test func nothingThatIsSentBreaksIt() {
            let whole = Self.answer([Self.srv(1, 2, 5222, Self.name("a", "example", "org")), Self.srv(3, 4, 443, [1, 0x62, 0xc0, 12])])
            for place in whole.indices {
                for value in [0, 1, 0x3f, 0x40, 0x80, 0xc0, 0xff] as [UInt8] {
                    var changed = whole
                    changed[place] = value
                    #expect((Self.read(changed)?.count ?? 0) <= 2)
                }
            }
        }
    }
#endif
