import Epode
import Foundation

func noteToMyself(at url: URL, with identity: ClientIdentity, trusting authorities: Data) async throws {
    var options = Options()
    options.trust = .authorities(authorities)
    let client = try await Epode.connect(
        "alice@cert.localhost", .webSocket(url), credentials: .certificate(identity), options: options)
    for await event in client.events {
        switch event {
        case .online(let online):
            print("online as \(online.jid) by \(online.mechanism)")
            try await client.sendMessage(to: online.jid, "A note to myself")
        case .message(let message):
            print("\(message.from ?? "?") says: \(message.body ?? "")")
            await client.close()
        case .offline(let reason):
            print(reason)
        default:
            break
        }
    }
}
