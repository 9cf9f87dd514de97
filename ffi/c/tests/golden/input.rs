//! Hands an input in by its C function.

use std::mem;
use std::ptr::null;

use epode::{Answer, Input, Network, Verified};
use epode_c::client::Client;
use epode_c::code::*;
use epode_c::host::*;
use epode_c::input::*;

use crate::values::{absent, error_code, failure_code, known, optional, slice, slot_code};

/// # Safety
///
/// The handle lives.
unsafe fn connected(client: *mut Client, now: u64, link: u64, info: &epode::LinkInfo) -> u32 {
    // SAFETY: the handle lives, and the slices do until the call is over; all of a link's facts may be zero.
    unsafe {
        let mut facts: LinkInfo = mem::zeroed();
        facts.struct_size = u32::try_from(size_of::<LinkInfo>()).unwrap();
        facts.encrypted = u32::from(info.encrypted);
        (facts.verified, facts.verified_name) = match &info.verified {
            Verified::No => (EPODE_VERIFIED_NO, absent()),
            Verified::Host { name } => (EPODE_VERIFIED_HOST, slice(name)),
            Verified::Platform { name } => (EPODE_VERIFIED_PLATFORM, slice(name)),
            other => panic!("{other:?}"),
        };
        facts.tls_version = optional(info.tls_version.as_deref());
        facts.client_certificate_requested = known(info.client_certificate_requested);
        facts.client_certificate = info.client_certificate.as_deref().map_or(absent(), slice);
        facts.alpn = optional(info.alpn.as_deref());
        facts.subprotocol = optional(info.subprotocol.as_deref());
        let bindings = &info.channel_bindings;
        facts.tls_exporter = bindings.tls_exporter.as_deref().map_or(absent(), slice);
        facts.tls_unique = bindings.tls_unique.as_deref().map_or(absent(), slice);
        facts.tls_server_end_point = bindings.tls_server_end_point.as_deref().map_or(absent(), slice);
        epode_connected(client, now, link, &raw const facts)
    }
}

/// # Safety
///
/// The handle lives.
unsafe fn resolved(client: *mut Client, now: u64, query: u64, answer: &Answer<'_>) -> u32 {
    // SAFETY: the handle lives, and the slices do until the call is over.
    unsafe {
        match answer {
            Answer::Records(records) => {
                let records: Vec<_> = records
                    .iter()
                    .map(|record| SrvRecord {
                        priority: record.priority,
                        weight: record.weight,
                        port: record.port,
                        reserved: 0,
                        target: slice(&record.target),
                    })
                    .collect();
                epode_resolved_records(client, now, query, records.as_ptr(), records.len())
            }
            Answer::Document(document) => epode_resolved_document(client, now, query, slice(document)),
            Answer::Failed(failure) => {
                let (code, alert, reason) = failure_code(failure);
                epode_resolved_failed(client, now, query, code, alert, reason)
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The code and the token that the C function of the input gives.
pub(crate) fn input(client: *mut Client, now: u64, input: &Input<'_>) -> (u32, u64) {
    let mut token = 0;
    // SAFETY: the handle lives, and the slices do until the call is over.
    let code = unsafe {
        match input {
            Input::Start => epode_start(client, now),
            Input::Stop => epode_stop(client, now),
            Input::Tick => epode_tick(client, now),
            Input::Restore { slot, bytes } => epode_restore(client, now, slot_code(*slot), slice(bytes.expose())),
            Input::Clock { unix_ms } => epode_clock(client, now, *unix_ms),
            Input::Resolved { query, answer } => resolved(client, now, query.0, answer),
            Input::Connected { link, info } => connected(client, now, link.0, info),
            Input::Received { link, bytes } => epode_received(client, now, link.0, slice(bytes)),
            Input::Written { link, bytes } => epode_written(client, now, link.0, *bytes),
            Input::Responded {
                link,
                request,
                status,
                body,
                tls,
            } => {
                let mut facts: TlsFacts = mem::zeroed();
                facts.struct_size = u32::try_from(size_of::<TlsFacts>()).unwrap();
                if let Some(tls) = tls {
                    facts.tls_version = optional(tls.version.as_deref());
                    facts.server_certificate_sha256 = tls.server_certificate_sha256.as_ref().map_or(absent(), slice);
                    facts.client_certificate_requested = known(tls.client_certificate_requested);
                }
                let facts = if tls.is_some() { &raw const facts } else { null() };
                let (status, body) = (u32::from(*status), slice(body));
                epode_responded(client, now, link.0, request.0, status, body, facts)
            }
            Input::Failed { link, request, reason } => {
                let (code, alert, reason) = failure_code(reason);
                let request = request.map_or(0, |request| request.0);
                epode_failed(client, now, link.0, request, code, alert, reason)
            }
            Input::Ended { link } => epode_ended(client, now, link.0),
            Input::Reading { link, reading } => epode_reading(client, now, link.0, *reading),
            Input::Network(Network::Up) => epode_network(client, now, EPODE_NETWORK_UP),
            Input::Network(Network::Down) => epode_network(client, now, EPODE_NETWORK_DOWN),
            Input::Network(Network::Changed) => epode_network(client, now, EPODE_NETWORK_CHANGED),
            Input::Foreground(foreground) => epode_foreground(client, now, *foreground),
            Input::Pause { seconds } => epode_pause(client, now, *seconds),
            Input::Handled { token } => epode_handled(client, now, token.0),
            Input::Send { stanza } => epode_send(client, now, slice(&stanza.to_xml()), &raw mut token),
            Input::Request { iq, timeout } => {
                let timeout = timeout.map_or(0, |timeout| u64::try_from(timeout.as_millis()).unwrap());
                epode_request(client, now, slice(&iq.to_xml()), timeout, &raw mut token)
            }
            Input::Respond { token, result } => match result {
                Ok(None) => epode_respond(client, now, token.0, absent()),
                Ok(Some(payload)) => epode_respond(client, now, token.0, slice(&payload.to_xml())),
                Err(error) => {
                    let (kind, text) = (error_code(error.kind), optional(error.text.as_deref()));
                    epode_respond_error(client, now, token.0, kind, slice(&error.condition), text)
                }
            },
            Input::Cancel { token } => epode_cancel(client, now, token.0),
            Input::Derived { job, key } => epode_derived(client, now, job.0, slice(key.to_bytes().expose())),
            Input::Task { payload: None } => epode_task(client, now, absent()),
            Input::Task { payload: Some(payload) } => epode_task(client, now, slice(&payload.to_xml())),
            other @ (Input::Network(_) | _) => panic!("{other:?}"),
        }
    };
    (code, token)
}
