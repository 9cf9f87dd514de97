// An echo bot: it sends back whatever it is told.
import Epode
import Foundation

let arguments = CommandLine.arguments
guard arguments.count == 6, let url = URL(string: arguments[2]) else {
    print("usage: echo JID wss://HOST/PATH CERTIFICATE.pem KEY.pem CA.pem")
    exit(2)
}
var options = Options()
options.trust = .authorities(try Data(contentsOf: URL(fileURLWithPath: arguments[5])))
let identity = try ClientIdentity(pemFile: URL(fileURLWithPath: arguments[3]), keyFile: URL(fileURLWithPath: arguments[4]))

do {
    let client = try await Epode.connect(arguments[1], .webSocket(url), credentials: .certificate(identity), options: options)
    for await event in client.events {
        switch event {
        case .online(let online):
            print("online as \(online.jid)")
        case .message(let message):
            // What has no text is no conversation, and an error is nobody to answer.
            guard let sender = message.from, let body = message.body, message.type != "error" else { break }
            print("\(sender) says: \(body)")
            if body == "bye" { await client.close() } else { try await client.sendMessage(to: sender, body) }
        case .interrupted(let interrupted):
            print(interrupted)
        case .offline(let reason):
            print(reason)
        default:
            break
        }
    }
} catch {
    print(error.localizedDescription)
    exit(1)
}
