//! The inputs about links and stanzas: one function each. `now_ms` is the host's clock, in milliseconds, which never runs backwards.

use std::borrow::Cow;
use std::mem::offset_of;
use std::time::Duration;

use epode::xml::{XmlError, XmlLimits};
use epode::{
    ChannelBindings, Element, Failure, Input, Instant, Jid, LinkId, RequestId, StanzaError, StanzaErrorType, Token,
    Verified, stanza,
};

use crate::client::Client;
use crate::code;
use crate::failure::Failed;
use crate::guard::guarded;
use crate::sized::{self, Sized_};
use crate::slice::Slice;

/// What the host knows of a link that has come up. Zeroed, but for `struct_size`, it says the least.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LinkInfo {
    /// `sizeof (epode_link_info)`.
    pub struct_size: u32,
    /// TLS protects it: 1, else 0.
    pub encrypted: u32,
    /// Who checked the server's certificate: an `EPODE_VERIFIED_` number.
    pub verified: u32,
    /// Whether the server asked for a client certificate: `EPODE_UNKNOWN`, `EPODE_NO` or `EPODE_YES`.
    pub client_certificate_requested: u32,
    /// The name that the server's certificate was found valid for: the `server_name` of the connect.
    pub verified_name: Slice,
    /// The TLS version, as `1.3`; NULL if not known.
    pub tls_version: Slice,
    /// The client certificate that is presented (DER); NULL if there is none, or it cannot be shown.
    pub client_certificate: Slice,
    /// The application protocol that TLS settled on (ALPN); NULL if none.
    pub alpn: Slice,
    /// The subprotocol that the server of a WebSocket selected: it has to be `xmpp` (RFC 7395 section 3.1). NULL if none.
    pub subprotocol: Slice,
    /// What a login on this connection can be bound to, here by RFC 9266: 32 bytes, exported with the label
    /// `EXPORTER-Channel-Binding` and an empty context; with TLS 1.2 only where the extended master secret was negotiated. NULL if not
    /// known, like the next two. Whoever has several connections for one BOSH session can give the last of the three only.
    pub tls_exporter: Slice,
    /// By RFC 5929 section 3: the first Finished message of the handshake; never with TLS 1.3, and with TLS 1.2 only where the extended
    /// master secret was negotiated.
    pub tls_unique: Slice,
    /// By RFC 5929 section 4: the hash of the server's certificate, by the hash function of its signature, or SHA-256 where that is
    /// MD5 or SHA-1.
    pub tls_server_end_point: Slice,
}

// SAFETY: repr(C), the size first; numbers and slices may be zero.
unsafe impl Sized_ for LinkInfo {
    const FIRST: usize = offset_of!(Self, alpn);
}

/// What was seen of the TLS connection that carried one HTTP answer.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TlsFacts {
    /// `sizeof (epode_tls_facts)`.
    pub struct_size: u32,
    /// Whether the server asked for a client certificate: `EPODE_UNKNOWN`, `EPODE_NO` or `EPODE_YES`.
    pub client_certificate_requested: u32,
    /// The TLS version, as `1.3`; NULL if not known.
    pub tls_version: Slice,
    /// SHA-256 of the server's leaf certificate (DER), 32 bytes; NULL if not known. A session whose server certificate changes ends.
    pub server_certificate_sha256: Slice,
}

// SAFETY: repr(C), the size first; numbers and slices may be zero.
unsafe impl Sized_ for TlsFacts {}

/// The user wants to be online.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_start(client: *mut Client, now_ms: u64) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe { handle(client, now_ms, || Ok(Input::Start)) }
}

/// The user wants to be offline. The client says goodbye first; `EPODE_OFFLINE` is the end.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_stop(client: *mut Client, now_ms: u64) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe { handle(client, now_ms, || Ok(Input::Stop)) }
}

/// A link is ready: TCP is up, and TLS where it begins at once; after `EPODE_START_TLS`, TLS is up; the WebSocket is open. For BOSH:
/// the HTTP client is ready, and `info` says what holds for each of its requests.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_connected(client: *mut Client, now_ms: u64, link: u64, info: *const LinkInfo) -> u32 {
    // SAFETY: the host's promise for handles, structs and slices.
    unsafe {
        handle(client, now_ms, || {
            let info = sized::read(info)?;
            let name = info.verified_name.text()?;
            let verified = match (info.verified, name) {
                (code::EPODE_VERIFIED_NO, _) => Verified::No,
                (code::EPODE_VERIFIED_HOST, Some(name)) => Verified::Host { name: name.to_owned() },
                (code::EPODE_VERIFIED_PLATFORM, Some(name)) => Verified::Platform { name: name.to_owned() },
                (code::EPODE_VERIFIED_HOST | code::EPODE_VERIFIED_PLATFORM, None) => {
                    return Err(Failed::code(code::EPODE_NULL));
                }
                _ => return Err(Failed::code(code::EPODE_VALUE)),
            };
            let link_info = epode::LinkInfo {
                alpn: info.alpn.text()?.map(str::to_owned),
                subprotocol: info.subprotocol.text()?.map(str::to_owned),
                encrypted: flag(info.encrypted)?,
                verified,
                tls_version: info.tls_version.text()?.map(str::to_owned),
                client_certificate_requested: known(info.client_certificate_requested)?,
                client_certificate: info.client_certificate.bytes()?.map(<[u8]>::to_vec),
                channel_bindings: ChannelBindings {
                    tls_exporter: info.tls_exporter.bytes()?.map(<[u8]>::to_vec),
                    tls_unique: info.tls_unique.bytes()?.map(<[u8]>::to_vec),
                    tls_server_end_point: info.tls_server_end_point.bytes()?.map(<[u8]>::to_vec),
                },
            };
            Ok(Input::Connected {
                link: LinkId(link),
                info: link_info,
            })
        })
    }
}

/// Bytes from TCP, cut anywhere; or one whole WebSocket text message.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_received(client: *mut Client, now_ms: u64, link: u64, bytes: Slice) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        handle(client, now_ms, || {
            Ok(Input::Received {
                link: LinkId(link),
                bytes: Cow::Borrowed(bytes.bytes()?.unwrap_or_default()),
            })
        })
    }
}

/// So many more bytes of what `EPODE_WRITE` and `EPODE_FRAME` gave have left the host's buffer (of a frame: of its text).
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_written(client: *mut Client, now_ms: u64, link: u64, bytes: u64) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        handle(client, now_ms, || {
            Ok(Input::Written {
                link: LinkId(link),
                bytes,
            })
        })
    }
}

/// One HTTP answer, whole. `tls` is NULL if nothing is known of its connection.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_responded(
    client: *mut Client,
    now_ms: u64,
    link: u64,
    request: u64,
    status: u32,
    body: Slice,
    tls: *const TlsFacts,
) -> u32 {
    // SAFETY: the host's promise for handles, structs and slices.
    unsafe {
        handle(client, now_ms, || {
            let tls = if tls.is_null() {
                None
            } else {
                Some(facts(sized::read(tls)?)?)
            };
            Ok(Input::Responded {
                link: LinkId(link),
                request: RequestId(request),
                status: u16::try_from(status).map_err(|_| Failed::code(code::EPODE_VALUE))?,
                body: Cow::Borrowed(body.bytes()?.unwrap_or_default()),
                tls,
            })
        })
    }
}

/// Something broke: one HTTP request, or the whole link where `request` is 0. `failure` is an `EPODE_FAILURE_` number; `alert` counts
/// for `EPODE_FAILURE_TLS_ALERT` only, and `reason`, a sentence for a person, for the three that are not clear without one:
/// `EPODE_FAILURE_CERTIFICATE_REJECTED`, `EPODE_FAILURE_HTTP` and `EPODE_FAILURE_OTHER`.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_failed(
    client: *mut Client,
    now_ms: u64,
    link: u64,
    request: u64,
    failure: u32,
    alert: u32,
    reason: Slice,
) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        handle(client, now_ms, || {
            let reason = broken(failure, alert, reason)?;
            Ok(Input::Failed {
                link: LinkId(link),
                request: (request != 0).then_some(RequestId(request)),
                reason,
            })
        })
    }
}

/// The peer closed the link.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_ended(client: *mut Client, now_ms: u64, link: u64) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe { handle(client, now_ms, || Ok(Input::Ended { link: LinkId(link) })) }
}

/// The host has stopped reading from the link because the application is slow (false), or reads again (true). While it does not
/// read, deadlines that wait for the server stand still.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_reading(client: *mut Client, now_ms: u64, link: u64, reading: bool) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        handle(client, now_ms, || {
            Ok(Input::Reading {
                link: LinkId(link),
                reading,
            })
        })
    }
}

/// The deadline passed. Early or twice is harmless.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_tick(client: *mut Client, now_ms: u64) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe { handle(client, now_ms, || Ok(Input::Tick)) }
}

/// Sends a message or a presence: one XML element that says `xmlns='jabber:client'`. `*token`, which may be NULL, gets the token of
/// its `EPODE_DELIVERY` events.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_send(client: *mut Client, now_ms: u64, xml: Slice, token: *mut u64) -> u32 {
    // SAFETY: the host's promise for handles, slices and tokens.
    unsafe { handle_token(client, now_ms, token, || Ok(Input::Send { stanza: element(xml)? })) }
}

/// Sends a chat message: `epode_send` without the XML. `to` is a JID, and `body` any text that XML can carry.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_send_chat(
    client: *mut Client,
    now_ms: u64,
    to: Slice,
    body: Slice,
    token: *mut u64,
) -> u32 {
    // SAFETY: the host's promise for handles, slices and tokens.
    unsafe {
        handle_token(client, now_ms, token, || {
            let to = Jid::parse(to.required()?).map_err(|error| Failed::new(code::EPODE_JID, error.to_string()))?;
            let stanza =
                stanza::chat(&to, body.required()?).map_err(|error| Failed::new(code::EPODE_XML, error.to_string()))?;
            Ok(Input::Send { stanza })
        })
    }
}

/// Sends an `iq` of type `get` or `set`, as XML; its `id` is replaced by one that nobody can guess. Its answer comes once, as
/// `EPODE_IQ_DONE` with `*token`. `timeout_ms` 0 takes the configuration's.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_request(
    client: *mut Client,
    now_ms: u64,
    xml: Slice,
    timeout_ms: u64,
    token: *mut u64,
) -> u32 {
    // SAFETY: the host's promise for handles, slices and tokens.
    unsafe {
        handle_token(client, now_ms, token, || {
            Ok(Input::Request {
                iq: element(xml)?,
                timeout: (timeout_ms != 0).then(|| Duration::from_millis(timeout_ms)),
            })
        })
    }
}

/// Answers an `EPODE_REQUEST` with a result. `payload` is one XML element, or NULL for a result without one.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_respond(client: *mut Client, now_ms: u64, token: u64, payload: Slice) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        handle(client, now_ms, || {
            let payload = match payload.bytes()? {
                Some(_) => Some(element(payload)?),
                None => None,
            };
            Ok(Input::Respond {
                token: Token(token),
                result: Ok(payload),
            })
        })
    }
}

/// Answers an `EPODE_REQUEST` with an error: `error_type` is an `EPODE_ERROR_` number, `condition` one of RFC 6120 section 8.3.3 such
/// as `item-not-found`, `text` a sentence for a person, or NULL.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_respond_error(
    client: *mut Client,
    now_ms: u64,
    token: u64,
    error_type: u32,
    condition: Slice,
    text: Slice,
) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        handle(client, now_ms, || {
            let kind = match error_type {
                code::EPODE_ERROR_AUTH => StanzaErrorType::Auth,
                code::EPODE_ERROR_CANCEL => StanzaErrorType::Cancel,
                code::EPODE_ERROR_CONTINUE => StanzaErrorType::Continue,
                code::EPODE_ERROR_MODIFY => StanzaErrorType::Modify,
                code::EPODE_ERROR_WAIT => StanzaErrorType::Wait,
                _ => return Err(Failed::code(code::EPODE_VALUE)),
            };
            let mut error = StanzaError::new(kind, condition.required()?);
            error.text = text.text()?.map(str::to_owned);
            Ok(Input::Respond {
                token: Token(token),
                result: Err(error),
            })
        })
    }
}

/// Gives up on a request, or on a stanza that has not been written yet.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_cancel(client: *mut Client, now_ms: u64, token: u64) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe { handle(client, now_ms, || Ok(Input::Cancel { token: Token(token) })) }
}

/// # Safety
///
/// The promise for slices.
pub(crate) unsafe fn broken(failure: u32, alert: u32, reason: Slice) -> Result<Failure, Failed> {
    // SAFETY: the caller's promise.
    let reason = unsafe { reason.bytes() }?.unwrap_or_default();
    // What a library or a peer says need not be UTF-8, and is worth having all the same.
    let reason = String::from_utf8_lossy(reason).into_owned();
    Ok(match failure {
        code::EPODE_FAILURE_DNS => Failure::Dns,
        code::EPODE_FAILURE_REFUSED => Failure::Refused,
        code::EPODE_FAILURE_TIMEOUT => Failure::Timeout,
        code::EPODE_FAILURE_RESET => Failure::Reset,
        code::EPODE_FAILURE_TLS_ALERT => {
            Failure::TlsAlert(u8::try_from(alert).map_err(|_| Failed::code(code::EPODE_VALUE))?)
        }
        code::EPODE_FAILURE_CERTIFICATE_REJECTED => Failure::CertificateRejected { reason },
        code::EPODE_FAILURE_HTTP => Failure::Http { reason },
        code::EPODE_FAILURE_OTHER => Failure::Other { reason },
        _ => return Err(Failed::code(code::EPODE_VALUE)),
    })
}

/// # Safety
///
/// As [`guarded`], and `make` may be called.
pub(crate) unsafe fn handle<'a>(
    client: *mut Client,
    now_ms: u64,
    make: impl FnOnce() -> Result<Input<'a>, Failed>,
) -> u32 {
    // SAFETY: the caller's promise; no token is written.
    unsafe { handle_token(client, now_ms, std::ptr::null_mut(), make) }
}

/// # Safety
///
/// As [`guarded`]; `make` may be called; `token` is NULL or can be written to.
unsafe fn handle_token<'a>(
    client: *mut Client,
    now_ms: u64,
    token: *mut u64,
    make: impl FnOnce() -> Result<Input<'a>, Failed>,
) -> u32 {
    // SAFETY: the caller's promise.
    unsafe {
        guarded(client, |client| {
            let given = client.core.handle(Instant::from_millis(now_ms), make()?)?;
            if let (Some(given), false) = (given, token.is_null()) {
                token.write(given.0);
            }
            Ok(())
        })
    }
}

/// # Safety
///
/// The promise for slices.
pub(crate) unsafe fn element(xml: Slice) -> Result<Element, Failed> {
    // SAFETY: the caller's promise.
    let xml = unsafe { xml.bytes() }?.ok_or(Failed::code(code::EPODE_NULL))?;
    Element::parse(xml, &XmlLimits::default()).map_err(|error| {
        let code = if matches!(error, XmlError::LimitExceeded { .. }) {
            code::EPODE_TOO_LARGE
        } else {
            code::EPODE_XML
        };
        Failed::new(code, error.to_string())
    })
}

fn facts(facts: TlsFacts) -> Result<epode::TlsFacts, Failed> {
    // SAFETY: the host's promise for slices, which whoever read the struct relies on too.
    let (version, digest) = unsafe { (facts.tls_version.text()?, facts.server_certificate_sha256.bytes()?) };
    Ok(epode::TlsFacts {
        version: version.map(str::to_owned),
        server_certificate_sha256: match digest {
            Some(digest) => Some(<[u8; 32]>::try_from(digest).map_err(|_| Failed::code(code::EPODE_VALUE))?),
            None => None,
        },
        client_certificate_requested: known(facts.client_certificate_requested)?,
    })
}

fn known(value: u32) -> Result<Option<bool>, Failed> {
    match value {
        code::EPODE_UNKNOWN => Ok(None),
        code::EPODE_NO => Ok(Some(false)),
        code::EPODE_YES => Ok(Some(true)),
        _ => Err(Failed::code(code::EPODE_VALUE)),
    }
}

fn flag(value: u32) -> Result<bool, Failed> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Failed::code(code::EPODE_VALUE)),
    }
}
