// What survives the process: a folder with one file for each of the engine's slots, which only the user can read.
import Foundation
internal import EpodeEngine

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

struct StateFolder {
    /// The login token (XEP-0484) and what is known of the account's server. A session is not kept: its goodbye ends it.
    static let slots: [(Slot, String)] = [(.token, "token"), (.pins, "pins")]

    let folder: URL

    init(_ folder: URL) throws {
        self.folder = folder
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw unusable(error)
        }
        // One that was there already.
        var status = stat()
        guard stat(folder.path, &status) == 0 else { throw problem() }
        if status.st_mode & 0o077 != 0 {
            throw EpodeError.configuration("others can look into \(folder.path), where what logs in is kept: chmod 700 it, or name a folder of its own")
        }
    }

    /// All that was stored in the slot; nothing if that is nothing.
    func load(_ slot: Slot) throws -> Data {
        guard let path = path(slot) else { return Data() }
        var status = stat()
        guard stat(path, &status) == 0 else {
            if errno == ENOENT { return Data() }
            throw EpodeError.configuration("\(path) cannot be read: \(String(cString: strerror(errno)))")
        }
        // What is in there is as good as a password.
        if status.st_mode & 0o077 != 0 {
            throw EpodeError.configuration("others can read \(path), which logs in: chmod 600 it")
        }
        do {
            return try Data(contentsOf: URL(fileURLWithPath: path))
        } catch {
            throw unusable(error)
        }
    }

    /// When this returns, the bytes survive a crash: the old ones or the new ones, nothing between.
    func write(_ slot: Slot, append: Bool, _ bytes: Data) throws {
        guard let path = path(slot) else { return }
        if bytes.isEmpty && !append {
            guard unlink(path) == 0 || errno == ENOENT else { throw problem() }
            try syncNames()
            return
        }
        let content = append ? try load(slot) + bytes : bytes
        let draft = folder.appendingPathComponent(".\(UUID().uuidString)").path
        let file = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw problem() }
        do {
            defer { closeFile(file) }
            // Whatever the umask says.
            guard fchmod(file, 0o600) == 0 else { throw problem() }
            try content.withUnsafeBytes { buffer in
                var rest = buffer[...]
                while !rest.isEmpty {
                    let count = writeFile(file, UnsafeRawBufferPointer(rebasing: rest))
                    guard count > 0 else { throw problem() }
                    rest = rest.dropFirst(count)
                }
            }
            guard fsync(file) == 0 else { throw problem() }
            guard rename(draft, path) == 0 else { throw problem() }
        } catch {
            unlink(draft)
            throw error
        }
        try syncNames()
    }

    private func path(_ slot: Slot) -> String? {
        Self.slots.first { $0.0 == slot }.map { folder.appendingPathComponent($0.1).path }
    }

    private func syncNames() throws {
        let names = open(folder.path, O_RDONLY | O_CLOEXEC)
        guard names >= 0 else { throw problem() }
        defer { closeFile(names) }
        guard fsync(names) == 0 else { throw problem() }
    }

    private func problem() -> EpodeError {
        .configuration("the folder \(folder.path) cannot be written to: \(String(cString: strerror(errno)))")
    }

    private func unusable(_ error: any Error) -> EpodeError {
        error as? EpodeError ?? .configuration("the folder \(folder.path) cannot be used: \(error.localizedDescription)")
    }
}

private func closeFile(_ file: Int32) { _ = close(file) }

private func writeFile(_ file: Int32, _ bytes: UnsafeRawBufferPointer) -> Int { write(file, bytes.baseAddress, bytes.count) }
