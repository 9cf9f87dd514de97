//! Every reason why a client can be offline, and what may follow it.

use super::super::reconnect::{After, after};
use super::*;
use crate::error::{LoginError, PeerIncompatible, PeerMisbehaved, SaslError, TlsError, WaitingFor};
use crate::input::{StanzaError, StanzaErrorType};
use crate::xml::XmlError;

/// On a verified link: elsewhere at once, the same later.
#[test]
fn what_may_follow() {
    use ConnectionError as C;
    use LoginError as L;
    use PeerIncompatible as I;
    use PeerMisbehaved as M;
    use TlsError as T;
    let text = || "x".to_string();
    let failed = |failure| Offline::Connection(C::Failed(failure));
    let alert = |alert, certificate_presented| {
        Offline::Tls(T::Alert {
            alert,
            certificate_presented,
        })
    };
    let error = StanzaError::new(StanzaErrorType::Wait, "resource-constraint");
    let element = text;
    let mut rows = vec![
        (Offline::Stopped, false, false),
        (failed(Failure::Dns), true, true),
        (failed(Failure::Refused), true, true),
        (failed(Failure::Timeout), true, true),
        (failed(Failure::Reset), true, true),
        (failed(Failure::TlsAlert(80)), true, true),
        (failed(Failure::CertificateRejected { reason: text() }), true, false),
        (failed(Failure::Http { reason: text() }), true, true),
        (failed(Failure::Other { reason: text() }), true, true),
        (Offline::Connection(C::Closed), true, true),
        (Offline::Connection(C::HttpStatus(503)), true, true),
        (Offline::Connection(C::NotBosh { status: 200 }), true, true),
        (Offline::Connection(C::GaveUp { attempts: 6 }), true, true),
        (Offline::Connection(C::RequestIdsExhausted), true, true),
        (Offline::Connection(C::NoEndpoint), true, true),
        (Offline::Connection(C::NetworkChanged), true, true),
        (Offline::Connection(C::TooManyRedirects), false, false),
        (Offline::Tls(T::Required), true, false),
        (Offline::Tls(T::NotOffered), true, false),
        (Offline::Tls(T::StartTlsRefused), true, true),
        (Offline::Tls(T::InsecureRedirect), true, false),
        (
            Offline::Tls(T::WrongName {
                expected: text(),
                verified: text(),
            }),
            true,
            false,
        ),
        (Offline::Tls(T::CertificateRejected { reason: text() }), true, false),
        (alert(45, true), true, false),
        (alert(116, true), true, false),
        (alert(80, true), true, true),
        (alert(40, false), true, true),
        (Offline::Tls(T::CertificateChanged), true, true),
        (Offline::Tls(T::CertificateProbablyRefused), true, true),
        (
            Offline::Login(L::Refused {
                mechanism: "EXTERNAL".into(),
                condition: "not-authorized".into(),
                text: None,
                client_certificate_requested: None,
            }),
            false,
            false,
        ),
        (
            Offline::Login(L::UnknownAnswer {
                mechanism: text(),
                element: text(),
            }),
            false,
            false,
        ),
        (
            Offline::Login(L::NoMechanism {
                offered: vec![],
                wanted: vec![],
                client_certificate_requested: None,
            }),
            false,
            false,
        ),
        (
            Offline::Login(L::Mechanism {
                mechanism: text(),
                error: SaslError::Authzid,
            }),
            false,
            false,
        ),
        (Offline::Login(L::UnexpectedIdentity { bound: text() }), false, false),
        (Offline::Login(L::BindRefused { error }), false, false),
        (Offline::Incompatible(I::NoSasl), true, false),
        (Offline::Incompatible(I::NoBind), false, false),
        (Offline::Incompatible(I::SessionParameters), true, false),
        (Offline::Incompatible(I::Version), true, false),
        (Offline::Incompatible(I::Subprotocol), true, false),
        (Offline::Incompatible(I::Alpn { protocol: text() }), true, false),
        (
            Offline::Incompatible(I::RequiredFeature { feature: text() }),
            false,
            false,
        ),
        (Offline::Misbehaved(M::Xml(XmlError::Incomplete)), true, false),
        (
            Offline::Misbehaved(M::Unexpected {
                waiting_for: WaitingFor::Login,
                element: element(),
            }),
            false,
            false,
        ),
        (Offline::Misbehaved(M::BoshPayload { element: element() }), false, false),
        (Offline::Misbehaved(M::BeforeTls), true, false),
        (Offline::Misbehaved(M::AfterLogin), false, false),
        (Offline::Misbehaved(M::StreamHeader { element: element() }), true, false),
        (Offline::Misbehaved(M::ContentNamespace), true, false),
        (Offline::Misbehaved(M::Frame), true, false),
        (
            Offline::Misbehaved(M::HandledCount { handled: 2, sent: 1 }),
            false,
            false,
        ),
        (
            Offline::Misbehaved(M::StreamManagement { element: element() }),
            false,
            false,
        ),
        (Offline::Misbehaved(M::BoundJid), false, false),
        (Offline::Misbehaved(M::TooManyRequests), true, true),
    ];
    for waiting_for in [
        WaitingFor::Discovery,
        WaitingFor::Link,
        WaitingFor::Session,
        WaitingFor::Tls,
        WaitingFor::Features,
        WaitingFor::Login,
        WaitingFor::Bind,
        WaitingFor::Resumption,
        WaitingFor::Life,
    ] {
        rows.push((Offline::Connection(C::Timeout { waiting_for }), true, true));
    }
    for (condition, again) in [
        ("bad-format", false),
        ("bad-namespace-prefix", false),
        ("bad-request", false),
        ("conflict", false),
        ("connection-timeout", true),
        ("host-gone", false),
        ("host-unknown", false),
        ("improper-addressing", false),
        ("internal-server-error", true),
        ("invalid-from", false),
        ("invalid-namespace", false),
        ("invalid-xml", false),
        ("item-not-found", true),
        ("not-authorized", false),
        ("not-well-formed", true),
        ("other-request", true),
        ("policy-violation", false),
        ("remote-connection-failed", true),
        ("remote-stream-error", true),
        ("reset", true),
        ("resource-constraint", true),
        ("restricted-xml", false),
        ("see-other-host", true),
        ("see-other-uri", true),
        ("system-shutdown", true),
        ("undefined-condition", true),
        ("unsupported-encoding", false),
        ("unsupported-feature", false),
        ("unsupported-stanza-type", false),
        ("unsupported-version", false),
    ] {
        rows.push((ended(condition), again, again));
    }
    let goodbye = SessionEnd {
        condition: None,
        text: None,
        application: None,
        see_other: None,
    };
    rows.push((Offline::Ended(goodbye), true, true));
    let judge = |reason: &Offline, verified, plain| {
        let loss = Loss {
            early: false,
            reason,
            was_online: false,
            verified,
            location: None,
        };
        after(&loss, plain)
    };
    for (reason, elsewhere, later) in &rows {
        let expected = After {
            elsewhere: *elsewhere,
            later: *later,
        };
        assert_eq!(judge(reason, true, false), expected, "{reason:?}");
        // Whoever is not verified may be anybody: what he gets wrong says nothing about the server.
        let again = After {
            elsewhere: true,
            later: true,
        };
        let expected = if matches!(reason, Offline::Misbehaved(_)) {
            again
        } else {
            expected
        };
        assert_eq!(judge(reason, false, false), expected, "{reason:?}, not verified");
    }
    // A new session after `item-not-found` is opened where nobody listens, or not at all.
    assert!(!judge(&ended("item-not-found"), true, true).later);
}
