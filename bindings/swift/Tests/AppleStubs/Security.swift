// The same of the Security framework, and what other frameworks add to Foundation with its types.
@_exported import Foundation
@_exported import FoundationNetworking

public typealias OSStatus = Int32
public final class SecIdentity {}
public final class SecCertificate {}
public final class SecTrust {}
public final class SecPolicy {}
// The types that the compiler bridges on Apple's systems are the ones that they are bridged to.
public typealias CFString = String
public typealias CFData = Data
public typealias CFArray = [Any]
public typealias CFDictionary = [AnyHashable: Any]
public final class CFError: Error {}
public final class CFAllocator {}

public let kSecImportExportPassphrase: CFString = "a", kSecImportToMemoryOnly: CFString = "b"
public let kSecImportItemIdentity: CFString = "c", kSecImportItemCertChain: CFString = "d"
public let errSecSuccess: OSStatus = 0, errSecAuthFailed: OSStatus = -25293, errSecPkcs12VerifyFailure: OSStatus = -25264

public func SecIdentityCopyCertificate(_: SecIdentity, _: UnsafeMutablePointer<SecCertificate?>) -> OSStatus { 0 }
public func SecCertificateCopyData(_: SecCertificate) -> CFData { fatalError() }
public func SecCertificateCreateWithData(_: CFAllocator?, _: CFData) -> SecCertificate? { nil }
public func SecCopyErrorMessageString(_: OSStatus, _: UnsafeMutableRawPointer?) -> CFString? { nil }
public func SecPKCS12Import(_: CFData, _: CFDictionary, _: UnsafeMutablePointer<CFArray?>) -> OSStatus { 0 }
public func SecPolicyCreateSSL(_: Bool, _: CFString?) -> SecPolicy { fatalError() }
@discardableResult public func SecTrustSetPolicies(_: SecTrust, _: Any) -> OSStatus { 0 }
@discardableResult public func SecTrustSetAnchorCertificates(_: SecTrust, _: CFArray) -> OSStatus { 0 }
@discardableResult public func SecTrustSetAnchorCertificatesOnly(_: SecTrust, _: Bool) -> OSStatus { 0 }
public func SecTrustEvaluateWithError(_: SecTrust, _: UnsafeMutablePointer<CFError?>?) -> Bool { false }
public func SecTrustCopyCertificateChain(_: SecTrust) -> CFArray? { nil }

public protocol OS_sec_object: AnyObject {}
public typealias sec_protocol_options_t = any OS_sec_object
public typealias sec_protocol_metadata_t = any OS_sec_object
public typealias sec_trust_t = any OS_sec_object
public typealias sec_identity_t = any OS_sec_object
public enum tls_protocol_version_t: UInt16, Sendable { case TLSv12, TLSv13, DTLSv12 }

public func sec_trust_copy_ref(_: sec_trust_t) -> Unmanaged<SecTrust> { fatalError() }
public func sec_identity_create_with_certificates(_: SecIdentity, _: CFArray) -> sec_identity_t? { nil }
public func sec_protocol_options_set_min_tls_protocol_version(_: sec_protocol_options_t, _: tls_protocol_version_t) {}
public func sec_protocol_options_set_tls_resumption_enabled(_: sec_protocol_options_t, _: Bool) {}
public func sec_protocol_options_set_tls_tickets_enabled(_: sec_protocol_options_t, _: Bool) {}
public func sec_protocol_options_add_tls_application_protocol(_: sec_protocol_options_t, _: UnsafePointer<CChar>) {}
public func sec_protocol_options_set_tls_server_name(_: sec_protocol_options_t, _: UnsafePointer<CChar>) {}
public func sec_protocol_options_set_verify_block(
    _: sec_protocol_options_t, _: @escaping (sec_protocol_metadata_t, sec_trust_t, @escaping (Bool) -> Void) -> Void, _: DispatchQueue
) {}
public func sec_protocol_options_set_challenge_block(
    _: sec_protocol_options_t, _: @escaping (sec_protocol_metadata_t, @escaping (sec_identity_t?) -> Void) -> Void, _: DispatchQueue
) {}
public func sec_protocol_metadata_get_negotiated_protocol(_: sec_protocol_metadata_t) -> UnsafePointer<CChar>? { nil }
public func sec_protocol_metadata_get_negotiated_tls_protocol_version(_: sec_protocol_metadata_t) -> tls_protocol_version_t { .TLSv13 }
public func sec_protocol_metadata_create_secret(_: sec_protocol_metadata_t, _: Int, _: UnsafePointer<CChar>, _: Int) -> DispatchData? { nil }

// Foundation on Apple's systems.
public let NSURLAuthenticationMethodServerTrust = "a", NSURLAuthenticationMethodClientCertificate = "b"
extension URLProtectionSpace { public var serverTrust: SecTrust? { nil } }
extension URLCredential {
    public convenience init(trust: SecTrust) { fatalError() }
    public convenience init(identity: SecIdentity, certificates: [Any]?, persistence: URLCredential.Persistence) { fatalError() }
}
extension URLSessionConfiguration {
    public var tlsMinimumSupportedProtocolVersion: tls_protocol_version_t { get { .TLSv12 } set {} }
    public var waitsForConnectivity: Bool { get { false } set {} }
}
extension URLSessionWebSocketDelegate {
    public func urlSession(
        _: URLSession, webSocketTask _: URLSessionWebSocketTask, didCloseWith _: URLSessionWebSocketTask.CloseCode, reason _: Data?
    ) {}
}
extension URLSessionWebSocketTask {
    public func send(_: Message, completionHandler: @escaping @Sendable ((any Error)?) -> Void) {}
    public func receive(completionHandler: @escaping @Sendable (Result<Message, any Error>) -> Void) {}
}
