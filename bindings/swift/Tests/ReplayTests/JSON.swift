// JSON as the logs have it, and a reader that refuses what it does not know.

import Foundation

enum JSON: Hashable, Sendable {
    case null
    case bool(Bool)
    /// The logs have whole numbers from 0 to 2^64 - 1 only; another one is refused when it is read.
    case number(UInt64)
    case string(String)
    case array([JSON])
    case object([String: JSON])

    /// One document.
    static func read(_ text: Data) throws -> JSON {
        try JSONDecoder().decode(JSON.self, from: text)
    }

    /// Documents, one a line.
    static func lines(of file: URL) throws -> [JSON] {
        try Data(contentsOf: file).split(separator: UInt8(ascii: "\n")).map(read)
    }

    static func object(_ fields: KeyValuePairs<String, JSON?>) -> JSON {
        .object(Dictionary(uniqueKeysWithValues: fields.compactMap { name, value in value.map { (name, $0) } }))
    }
}

extension JSON: Codable {
    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() {
            self = .null
        } else if let bool = try? value.decode(Bool.self) {
            self = .bool(bool)
        } else if let number = try? value.decode(UInt64.self) {
            self = .number(number)
        } else if let string = try? value.decode(String.self) {
            self = .string(string)
        } else if let array = try? value.decode([JSON].self) {
            self = .array(array)
        } else {
            self = .object(try value.decode([String: JSON].self))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var value = encoder.singleValueContainer()
        switch self {
        case .null: try value.encodeNil()
        case .bool(let bool): try value.encode(bool)
        case .number(let number): try value.encode(number)
        case .string(let string): try value.encode(string)
        case .array(let array): try value.encode(array)
        case .object(let object): try value.encode(object)
        }
    }
}

extension JSON: CustomStringConvertible {
    var description: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(self)).flatMap { String(data: $0, encoding: .utf8) } ?? "?"
    }
}

/// What a test cannot do, or finds otherwise than it has to be.
struct Unexpected: Error, CustomStringConvertible {
    var description: String

    init(_ description: String) {
        self.description = description
    }
}

extension JSON {
    func string() throws -> String {
        guard case .string(let string) = self else { throw Unexpected("\(self) is not a string") }
        return string
    }

    func bool() throws -> Bool {
        guard case .bool(let bool) = self else { throw Unexpected("\(self) is neither true nor false") }
        return bool
    }

    func number<Number: FixedWidthInteger>(_: Number.Type = Number.self) throws -> Number {
        guard case .number(let number) = self, let exact = Number(exactly: number) else {
            throw Unexpected("\(self) is not a number of \(Number.self)")
        }
        return exact
    }

    func array() throws -> [JSON] {
        guard case .array(let array) = self else { throw Unexpected("\(self) is not an array") }
        return array
    }

    func fields() throws -> [String: JSON] {
        guard case .object(let fields) = self else { throw Unexpected("\(self) is not an object") }
        return fields
    }

    /// `"name"`, or `{"name": value}`, as enums are written.
    func variant() throws -> (name: String, value: JSON) {
        if case .string(let name) = self { return (name, .null) }
        guard case .object(let fields) = self, fields.count == 1, let (name, value) = fields.first else {
            throw Unexpected("\(self) is not one variant of an enum")
        }
        return (name, value)
    }

    /// Reads the fields of an object; a field that nobody took is one that the binding cannot do, and an error.
    func reading<Value>(_ read: (inout Fields) throws -> Value) throws -> Value {
        var fields = Fields(left: try fields())
        let value = try read(&fields)
        guard fields.left.isEmpty else {
            throw Unexpected("the fields \(fields.left.keys.sorted()) of \(self) are not known here")
        }
        return value
    }
}

/// The fields of an object that have not been read yet.
struct Fields {
    fileprivate(set) var left: [String: JSON]

    /// The value of a field that has to be there.
    mutating func take(_ name: String) throws -> JSON {
        guard let value = left.removeValue(forKey: name) else { throw Unexpected("the field \(name) is missing") }
        return value
    }

    /// The value of a field that may be absent or null.
    mutating func ifThere<Value>(_ name: String, _ read: (JSON) throws -> Value) throws -> Value? {
        guard let value = left.removeValue(forKey: name), value != .null else { return nil }
        return try read(value)
    }

    mutating func string(_ name: String) throws -> String { try take(name).string() }
    mutating func bool(_ name: String) throws -> Bool { try take(name).bool() }

    mutating func number<Number: FixedWidthInteger>(_ name: String) throws -> Number {
        try take(name).number(Number.self)
    }

    mutating func ifNumber<Number: FixedWidthInteger>(_ name: String) throws -> Number? {
        try ifThere(name) { try $0.number(Number.self) }
    }

    mutating func strings(_ name: String) throws -> [String] {
        try take(name).array().map { try $0.string() }
    }
}

/// Bytes, which are text where they are UTF-8 and base64 where they are not.
func bytes(_ json: JSON) throws -> Data {
    let (kind, value) = try json.variant()
    switch kind {
    case "text": return Data(try value.string().utf8)
    case "base64":
        guard let data = Data(base64Encoded: try value.string()) else { throw Unexpected("\(json) is not base64") }
        return data
    default: throw Unexpected("\(json) is neither text nor base64")
    }
}

/// The same the other way.
func asBytes(_ data: Data) -> JSON {
    guard let text = String(data: data, encoding: .utf8) else {
        return .object(["base64": .string(data.base64EncodedString())])
    }
    return .object(["text": .string(text)])
}
