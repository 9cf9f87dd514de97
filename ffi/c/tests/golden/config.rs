//! The client that the first line of a log describes.

use std::ptr::null_mut;

use epode::ChannelBindingType;
use epode_c::bosh::*;
use epode_c::client::{Client, epode_client_new};
use epode_c::code::*;
use epode_c::config::*;
use epode_c::login::*;
use epode_c::settings::*;
use serde_json::Value;

use crate::values::{absent, number, slice, small};

/// The client that the first line of a log describes.
pub(crate) fn client(config: &Value, seed: &[u8; 32]) -> *mut Client {
    let string = |value: &Value| slice(&*value.as_str().unwrap().to_owned().leak());
    let flag = |value: &Value| value.as_bool().unwrap();
    let choice =
        |value: &Value, names: &[&str]| names.iter().position(|name| value == name).unwrap().try_into().unwrap();
    let (mut handle, mut client) = (null_mut(), null_mut());
    let mut codes = Vec::new();
    // SAFETY: the handles live until they are freed, and the slices for ever.
    unsafe {
        assert_eq!(epode_config_new(string(&config["jid"]), &raw mut handle), EPODE_OK);
        for transport in config["transports"].as_array().unwrap() {
            let (kind, fields) = transport.as_object().unwrap().iter().next().unwrap();
            match kind.as_str() {
                "bosh" => codes.extend([
                    epode_config_add_bosh(handle, string(&fields["url"])),
                    epode_config_set_bosh_wait(handle, small(&fields["wait"])),
                    epode_config_set_bosh_hold(handle, small(&fields["hold"])),
                    epode_config_set_bosh_ack(handle, flag(&fields["ack"])),
                    epode_config_set_bosh_first_rid(handle, fields["first_rid"].as_u64().unwrap_or(0)),
                    epode_config_set_bosh_max_requests(handle, small(&fields["max_requests"])),
                    epode_config_set_bosh_key_sequence(handle, fields["key_sequence"] == true),
                ]),
                "websocket" => codes.push(epode_config_add_websocket(handle, string(&fields["url"]))),
                "tcp" => codes.push(epode_config_add_tcp(
                    handle,
                    string(&fields["host"]),
                    small(&fields["port"]),
                    EPODE_TCP_DIRECT_TLS + choice(&fields["tls"], &["direct", "starttls"]),
                )),
                "discover" => codes.push(epode_config_add_discovery(
                    handle,
                    flag(&fields["tcp"]),
                    flag(&fields["websocket"]),
                    flag(&fields["bosh"]),
                )),
                other => panic!("{other}"),
            }
        }
        let certificate = &config["credentials"]["certificate"];
        codes.push(if config["credentials"] == "nothing" {
            epode_config_set_no_credentials(handle)
        } else {
            assert!(certificate["der"].is_null(), "no transcript shows a certificate yet");
            epode_config_set_certificate(handle, string(&certificate["identity"]), absent())
        });
        for (limit, name) in (1..).zip([
            "element_before_login",
            "element",
            "bosh_body",
            "depth",
            "attributes",
            "namespaces",
            "attribute_value",
            "outbound_stanza",
            "outbound_queue",
            "inbound_queue",
            "pending_requests",
            "unacknowledged",
        ]) {
            codes.push(epode_config_set_limit(handle, limit, number(&config["limits"][name])));
        }
        // What is as usual is left out.
        for (timeout, name) in (1..).zip(["connect", "negotiation", "close", "iq", "discovery", "fallback"]) {
            if let Some(milliseconds) = config["timeouts"][name].as_u64() {
                codes.push(epode_config_set_timeout(handle, timeout, milliseconds));
            }
        }
        let reconnect = &config["reconnect"];
        let management = &config["stream_management"];
        let liveness = &config["liveness"];
        let unless_never = |value: &Value| value.as_u64().unwrap_or(u64::MAX);
        codes.extend([
            epode_config_set_authzid(handle, choice(&config["authzid"], &["auto", "always", "never"])),
            epode_config_set_tls(handle, choice(&config["tls"], &["required", "allow_plaintext"])),
            epode_config_set_reconnect(handle, choice(&reconnect["when"], &["after_online", "never", "always"])),
            epode_config_set_reconnect_delays(
                handle,
                number(&reconnect["first"]),
                number(&reconnect["second"]),
                number(&reconnect["longest"]),
                reconnect["attempts"].as_u64().unwrap_or(0).try_into().unwrap(),
            ),
            epode_config_set_stream_management(
                handle,
                flag(&management["enabled"]),
                flag(&management["resume"]),
                management["max"].as_u64().unwrap_or(0).try_into().unwrap(),
            ),
            epode_config_set_acknowledgement_requests(
                handle,
                small(&management["request_after"]),
                number(&management["request_when_quiet"]),
            ),
            epode_config_set_resend_uncertain(handle, flag(&management["resend_uncertain"])),
            epode_config_set_liveness(
                handle,
                unless_never(&liveness["ask_after"]),
                number(&liveness["answer_within"]),
                unless_never(&liveness["keep_alive_after"]),
            ),
            epode_config_set_persist(handle, choice(&config["persist"], &["off", "on_suspend", "every_turn"])),
            epode_config_set_acknowledge(handle, choice(&config["acknowledge"], &["automatic", "manual"])),
            epode_config_set_language(handle, string(&config["language"])),
        ]);
        if config["mechanisms"].is_object() {
            codes.extend(policy(handle, &config["mechanisms"]));
        }
        let (agent, bind) = (&config["user_agent"], &config["bind"]);
        if agent.is_object() {
            let perhaps = |name: &str| {
                agent[name]
                    .as_str()
                    .map_or(absent(), |text| slice(&*text.to_owned().leak()))
            };
            let (id, software, device) = (perhaps("id"), perhaps("software"), perhaps("device"));
            codes.push(epode_config_set_user_agent(handle, id, software, device));
        }
        if bind.is_object() {
            codes.push(epode_config_set_bind(
                handle,
                string(&bind["tag"]),
                flag(&bind["carbons"]),
            ));
        }
        codes.extend([
            epode_config_set_fast(handle, choice(&config["fast"], &["use", "off", "invalidate"])),
            epode_config_set_key_derivation(handle, choice(&config["key_derivation"], &["inline", "host"])),
        ]);
        for task in config["tasks"].as_array().unwrap() {
            codes.push(epode_config_add_task(handle, string(task)));
        }
        for namespace in config["answered_namespaces"].as_array().unwrap() {
            codes.push(epode_config_answer(handle, string(namespace)));
        }
        codes.push(epode_client_new(handle, seed.as_ptr(), &raw mut client));
        epode_config_free(handle);
    }
    assert!(codes.iter().all(|code| *code == EPODE_OK), "{codes:?}");
    client
}

/// # Safety
///
/// The handle lives.
unsafe fn policy(handle: *mut Config, policy: &Value) -> Vec<u32> {
    let text = |value: &Value| value.as_str().map_or(absent(), |text| slice(&*text.to_owned().leak()));
    let flag = |name: &str| policy[name].as_bool().unwrap();
    let (digest, scram) = (&policy["digest_md5"], &policy["scram"]);
    // SAFETY: the handle lives, and the slices do for ever.
    unsafe {
        let mut codes = vec![
            epode_config_set_allow_plain(handle, flag("allow_plain")),
            epode_config_set_digest_md5(
                handle,
                !digest.is_null(),
                text(&digest["realm"]),
                digest["always_utf8"] == true,
            ),
            epode_config_set_least_mechanism(handle, text(&policy["least"])),
            epode_config_set_scram_iterations(handle, small(&scram["min"]), small(&scram["max"])),
            epode_config_set_sasl2(handle, flag("sasl2")),
            epode_config_set_pipeline(handle, flag("pipeline")),
            epode_config_set_pin(handle, flag("pin"), flag("pin_channel_binding")),
            epode_config_set_allow_missing_ht_server_proof(handle, flag("allow_missing_ht_server_proof")),
            epode_config_set_upgrade(handle, flag("upgrade")),
        ];
        for name in policy["channel_bindings"].as_array().into_iter().flatten() {
            let at = ChannelBindingType::ALL.iter().position(|known| name == known.name());
            let code = EPODE_BINDING_TLS_EXPORTER + u32::try_from(at.unwrap()).unwrap();
            codes.push(epode_config_add_channel_binding(handle, code));
        }
        for name in policy["only"].as_array().into_iter().flatten() {
            codes.push(epode_config_add_mechanism(handle, text(name)));
        }
        codes
    }
}
