//! Compares what C is shown with an output of the log, sentences included.

use epode::error::IqError;
use epode::{ChannelBindingType, Endpoint, Event, Question, SaslProfile, ServerProof, Stage, TcpTls, TransportKind};
use epode_c::code::*;
use epode_c::output::{Output, Stanza};

use crate::values::{bytes, error_code, known, slot_code, text};

pub(crate) fn transport_code(transport: TransportKind) -> u32 {
    match transport {
        TransportKind::Bosh => EPODE_ENDPOINT_BOSH,
        TransportKind::Tcp => EPODE_ENDPOINT_TCP,
        TransportKind::WebSocket => EPODE_ENDPOINT_WEBSOCKET,
        other => panic!("{other:?}"),
    }
}

fn same_stanza(shown: Stanza, stanza: &epode::Element) {
    let expected = match stanza.name() {
        "message" => EPODE_MESSAGE,
        "presence" => EPODE_PRESENCE,
        _ => EPODE_IQ,
    };
    assert_eq!(shown.kind, expected);
    assert_eq!(text(shown.id), stanza.attribute("id"));
    assert_eq!(text(shown.from), stanza.attribute("from"));
    assert_eq!(text(shown.to), stanza.attribute("to"));
    assert_eq!(text(shown.r#type), stanza.attribute("type"));
    assert_eq!(text(shown.xml).unwrap(), stanza.to_xml());
    let body = stanza.child("jabber:client", "body").map(|body| body.text());
    assert_eq!(text(shown.body), body.as_deref());
}

pub(crate) fn same(shown: &Output, expected: &epode::Output) {
    // SAFETY: which member of the union is read, the kind says, which is compared first.
    unsafe {
        match expected {
            epode::Output::Connect {
                link,
                endpoint,
                server_name,
                identity,
                max_message,
            } => {
                assert_eq!(shown.kind, EPODE_CONNECT);
                let connect = shown.data.connect;
                assert_eq!(
                    (connect.link, connect.endpoint),
                    (link.0, transport_code(endpoint.kind()))
                );
                let place = (text(connect.url), text(connect.host), connect.port, connect.tls);
                match endpoint {
                    Endpoint::Bosh { url } | Endpoint::WebSocket { url } => {
                        assert_eq!(place, (Some(url.as_str()), None, 0, 0));
                    }
                    Endpoint::Tcp { host, port, tls } => {
                        let tls = if *tls == TcpTls::Direct {
                            EPODE_TCP_DIRECT_TLS
                        } else {
                            EPODE_TCP_STARTTLS
                        };
                        assert_eq!(place, (None, Some(host.as_str()), u32::from(*port), tls));
                    }
                    other => panic!("{other:?}"),
                }
                assert_eq!(text(connect.server_name).unwrap(), server_name);
                assert_eq!(text(connect.identity), identity.as_deref());
                assert_eq!(connect.max_message, *max_message as u64);
            }
            epode::Output::Resolve {
                query,
                question,
                deadline,
            } => {
                assert_eq!(shown.kind, EPODE_RESOLVE);
                let resolve = shown.data.resolve;
                assert_eq!((resolve.query, resolve.deadline_ms), (query.0, deadline.as_millis()));
                let asked = (
                    resolve.question,
                    text(resolve.name),
                    text(resolve.url),
                    resolve.max_bytes,
                );
                match question {
                    Question::Srv { name } => assert_eq!(asked, (EPODE_QUESTION_SRV, Some(name.as_str()), None, 0)),
                    Question::Document { url, max_bytes } => {
                        let max_bytes = *max_bytes as u64;
                        assert_eq!(asked, (EPODE_QUESTION_DOCUMENT, None, Some(url.as_str()), max_bytes));
                    }
                    other => panic!("{other:?}"),
                }
            }
            epode::Output::Store {
                slot,
                append,
                bytes: stored,
            } => {
                assert_eq!(shown.kind, EPODE_STORE);
                let store = shown.data.store;
                assert_eq!((store.slot, store.append), (slot_code(*slot), *append));
                assert_eq!(bytes(store.bytes).unwrap(), stored.expose());
            }
            epode::Output::Write { link, bytes: sent } => {
                assert_eq!((shown.kind, shown.data.write.link), (EPODE_WRITE, link.0));
                assert_eq!(bytes(shown.data.write.bytes).unwrap(), sent);
            }
            epode::Output::Frame { link, text: sent } => {
                assert_eq!((shown.kind, shown.data.frame.link), (EPODE_FRAME, link.0));
                assert_eq!(text(shown.data.frame.text).unwrap(), sent);
            }
            epode::Output::StartTls { link, server_name } => {
                assert_eq!((shown.kind, shown.data.start_tls.link), (EPODE_START_TLS, link.0));
                assert_eq!(text(shown.data.start_tls.server_name).unwrap(), server_name);
            }
            epode::Output::Post {
                link,
                request,
                body,
                deadline,
            } => {
                assert_eq!(shown.kind, EPODE_POST);
                let post = shown.data.post;
                assert_eq!((post.link, post.request), (link.0, request.0));
                assert_eq!(post.deadline_ms, deadline.as_millis());
                assert_eq!(text(post.body).unwrap().as_bytes(), body);
            }
            epode::Output::Abandon { link, request } => {
                assert_eq!(shown.kind, EPODE_ABANDON);
                let abandon = shown.data.abandon;
                assert_eq!((abandon.link, abandon.request), (link.0, request.0));
            }
            epode::Output::Close { link } => {
                assert_eq!((shown.kind, shown.data.close.link), (EPODE_CLOSE, link.0));
            }
            epode::Output::DeriveKey { job, derivation } => {
                assert_eq!((shown.kind, shown.data.derive_key.job), (EPODE_DERIVE_KEY, job.0));
                let inputs = shown.data.derive_key;
                assert_eq!(bytes(inputs.salt).unwrap(), derivation.salt);
                assert_eq!(bytes(inputs.password).unwrap(), derivation.password.expose());
                assert_eq!(inputs.iterations, derivation.iterations);
            }
            epode::Output::Event(event) => same_event(shown, event),
            other => panic!("{other:?}"),
        }
    }
}

/// # Safety
///
/// What is shown is valid.
unsafe fn same_event(shown: &Output, expected: &Event) {
    // SAFETY: which member of the union is read, the kind says, which is compared first.
    unsafe {
        match expected {
            Event::Online {
                jid,
                mechanism,
                server_proof,
                channel_binding,
                profile,
                resumed,
                client_certificate_requested,
                round_trips,
                transport,
            } => {
                assert_eq!(shown.kind, EPODE_ONLINE);
                let online = shown.data.online;
                assert_eq!(text(online.jid).unwrap(), jid.as_str());
                assert_eq!(text(online.mechanism).unwrap(), mechanism);
                assert_eq!(online.round_trips, *round_trips);
                assert_eq!(online.server_proof, *server_proof == ServerProof::Verified);
                assert_eq!(online.resumed, *resumed);
                let bindings = [None].into_iter().chain(ChannelBindingType::ALL.map(Some));
                assert_eq!(
                    bindings.clone().nth(online.channel_binding as usize),
                    Some(*channel_binding)
                );
                let profiles = [None, Some(SaslProfile::Sasl1), Some(SaslProfile::Sasl2)];
                assert_eq!(profiles[online.profile as usize], *profile);
                let proofs = [ServerProof::None, ServerProof::Verified, ServerProof::Absent];
                assert_eq!(proofs[online.proof as usize], *server_proof);
                assert_eq!(
                    online.client_certificate_requested,
                    known(*client_certificate_requested)
                );
                assert_eq!(online.transport, transport_code(*transport));
            }
            Event::Interrupted {
                reason,
                retry_at,
                resumable,
            } => {
                assert_eq!(shown.kind, EPODE_INTERRUPTED);
                let interrupted = shown.data.interrupted;
                assert_eq!(text(interrupted.sentence).unwrap(), reason.to_string());
                let retry_at = retry_at.map_or(u64::MAX, epode::Instant::as_millis);
                assert_eq!((interrupted.retry_at_ms, interrupted.resumable), (retry_at, *resumable));
            }
            Event::Offered {
                features,
                transport,
                encrypted,
            } => {
                assert_eq!(shown.kind, EPODE_OFFERED);
                let offered = shown.data.offered;
                assert_eq!(text(offered.features).unwrap(), features.to_xml());
                let how = (offered.transport, offered.encrypted);
                assert_eq!(how, (transport_code(*transport), *encrypted));
            }
            Event::Task {
                task,
                payload,
                text: says,
            } => {
                assert_eq!(shown.kind, EPODE_TASK);
                let shown = shown.data.task;
                assert_eq!(text(shown.task).unwrap(), task);
                let payload = payload.as_ref().map(epode::Element::to_xml);
                assert_eq!(
                    (text(shown.payload), text(shown.text)),
                    (payload.as_deref(), says.as_deref())
                );
            }
            Event::Stanza { stanza, token } => {
                assert_eq!(shown.kind, EPODE_STANZA);
                same_stanza(shown.data.stanza, stanza);
                assert_eq!(shown.data.stanza.token, token.map_or(0, |token| token.0));
            }
            Event::Request { token, iq } => {
                assert_eq!((shown.kind, shown.data.request.token), (EPODE_REQUEST, token.0));
                same_stanza(shown.data.request.iq, iq);
            }
            Event::IqDone { token, result } => {
                assert_eq!((shown.kind, shown.data.iq_done.token), (EPODE_IQ_DONE, token.0));
                let done = shown.data.iq_done;
                match result {
                    Ok(iq) => {
                        assert_eq!(done.outcome, EPODE_IQ_RESULT);
                        same_stanza(done.iq, iq);
                    }
                    Err(error) => {
                        assert_eq!(text(done.sentence).unwrap(), error.to_string());
                        if let IqError::Error(error) = error {
                            assert_eq!(done.error_type, error_code(error.kind));
                            assert_eq!(text(done.condition), Some(error.condition.as_str()));
                            assert_eq!(text(done.text), error.text.as_deref());
                        }
                    }
                }
            }
            Event::Delivery { token, stage } => {
                assert_eq!((shown.kind, shown.data.delivery.token), (EPODE_DELIVERY, token.0));
                let stage = match stage {
                    Stage::Queued => EPODE_QUEUED,
                    Stage::Sent => EPODE_SENT,
                    Stage::Acked => EPODE_ACKED,
                    Stage::Failed => EPODE_FAILED,
                };
                assert_eq!(shown.data.delivery.stage, stage);
            }
            Event::Writable => assert_eq!(shown.kind, EPODE_WRITABLE),
            Event::Warning(warning) => {
                assert_eq!(shown.kind, EPODE_WARNING);
                assert_ne!(shown.data.warning.code, EPODE_WARNING_OTHER);
                assert_eq!(text(shown.data.warning.sentence).unwrap(), warning.to_string());
            }
            Event::Offline { reason } => {
                assert_eq!(shown.kind, EPODE_OFFLINE);
                assert_ne!(shown.data.offline.group, EPODE_OFFLINE_OTHER);
                assert_eq!(text(shown.data.offline.sentence).unwrap(), reason.to_string());
            }
            other => panic!("{other:?}"),
        }
    }
}
