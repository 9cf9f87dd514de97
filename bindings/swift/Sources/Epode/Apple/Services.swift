// SRV records, by the system's resolver (dns_sd.h).
#if canImport(Network)
    import Foundation
    import dnssd

    /// The records of a name (RFC 2782).
    func serviceRecords(of name: String) async throws -> [Service] {
        let query = Query()
        defer { query.end() }
        return try await withTaskCancellationHandler {
            query.start(name)
            return try await query.promise.value()
        } onCancel: {
            query.promise.keep(.failure(CancellationError()))
        }
    }

    /// One question. Everything but the promise is touched on its queue only: that is why it is `Sendable`.
    private final class Query: @unchecked Sendable {
        let promise = Promise<[Service]>()
        private let queue = DispatchQueue(label: "epode.dns")
        private var reference: DNSServiceRef?
        private var found: [Service] = []

        func start(_ name: String) {
            queue.async { [self] in
                // Without the flag a name that does not exist would never be answered.
                let flags = DNSServiceFlags(kDNSServiceFlagsReturnIntermediates) | DNSServiceFlags(kDNSServiceFlagsTimeout)
                let context = Unmanaged.passUnretained(self).toOpaque()
                var error = DNSServiceQueryRecord(
                    &reference, flags, 0, name, UInt16(kDNSServiceType_SRV), UInt16(kDNSServiceClass_IN),
                    { _, flags, _, error, _, _, _, length, data, _, context in
                        guard let context else { return }
                        // It lives: `serviceRecords` holds it until `end`, behind which nothing is called.
                        let query = Unmanaged<Query>.fromOpaque(context).takeUnretainedValue()
                        query.answer(flags, error, data.map { Data(bytes: $0, count: Int(length)) } ?? Data())
                    }, context)
                if error == DNSServiceErrorType(kDNSServiceErr_NoError), let reference {
                    error = DNSServiceSetDispatchQueue(reference, queue)
                }
                if error != DNSServiceErrorType(kDNSServiceErr_NoError) { finish(error) }
            }
        }

        func end() {
            // On the queue, behind every callback; the closure keeps this alive until then.
            queue.async { [self] in
                if let reference { DNSServiceRefDeallocate(reference) }
                reference = nil
            }
        }

        private func answer(_ flags: DNSServiceFlags, _ error: DNSServiceErrorType, _ data: Data) {
            guard error == DNSServiceErrorType(kDNSServiceErr_NoError) else { return finish(error) }
            if let service = Service(record: data) { found.append(service) }
            if flags & DNSServiceFlags(kDNSServiceFlagsMoreComing) == 0 { promise.keep(.success(found)) }
        }

        private func finish(_ error: DNSServiceErrorType) {
            switch Int(error) {
            case Int(kDNSServiceErr_NoSuchName), Int(kDNSServiceErr_NoSuchRecord): promise.keep(.success(found))
            case Int(kDNSServiceErr_Timeout): promise.keep(.failure(LinkFailure.timeout))
            default: promise.keep(.failure(LinkFailure.other("the resolver failed with error \(error)")))
            }
        }
    }
#endif
