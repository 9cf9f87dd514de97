// The same of dns_sd.h.
import Foundation

public typealias DNSServiceRef = OpaquePointer
public typealias DNSServiceFlags = UInt32
public typealias DNSServiceErrorType = Int32
public var kDNSServiceFlagsReturnIntermediates: Int { 0x1000 }
public var kDNSServiceFlagsTimeout: Int { 0x10000 }
public var kDNSServiceFlagsMoreComing: Int { 1 }
public var kDNSServiceType_SRV: Int { 33 }
public var kDNSServiceClass_IN: Int { 1 }
public var kDNSServiceErr_NoError: Int { 0 }
public var kDNSServiceErr_NoSuchName: Int { -65538 }
public var kDNSServiceErr_NoSuchRecord: Int { -65554 }
public var kDNSServiceErr_Timeout: Int { -65568 }
public typealias DNSServiceQueryRecordReply = @convention(c) (
    DNSServiceRef?, DNSServiceFlags, UInt32, DNSServiceErrorType, UnsafePointer<CChar>?, UInt16, UInt16, UInt16, UnsafeRawPointer?, UInt32,
    UnsafeMutableRawPointer?
) -> Void
public func DNSServiceQueryRecord(
    _: UnsafeMutablePointer<DNSServiceRef?>, _: DNSServiceFlags, _: UInt32, _: UnsafePointer<CChar>, _: UInt16, _: UInt16,
    _: DNSServiceQueryRecordReply?, _: UnsafeMutableRawPointer?
) -> DNSServiceErrorType { 0 }
public func DNSServiceSetDispatchQueue(_: DNSServiceRef, _: DispatchQueue?) -> DNSServiceErrorType { 0 }
public func DNSServiceRefDeallocate(_: DNSServiceRef?) {}
