//! The configuration of a client: a handle with setters, so that it can grow without breaking anybody.

use std::time::Duration;

use epode::config::{Bosh, MechanismPolicy, Timeouts, Transport};
use epode::{Authzid, Credentials, Jid, Secret, TlsPolicy};

use crate::code;
use crate::failure::Failed;
use crate::guard::{Handle, Record, free, guarded, guarded_new};
use crate::slice::Slice;

/// One account, how to prove it, and how to reach its server. It may be freed as soon as the client is made.
#[derive(Debug)]
pub struct Config {
    record: Record,
    jid: Jid,
    url: Option<String>,
    bosh: Bosh,
    identity: Option<String>,
    der: Option<Vec<u8>>,
    password: Option<Secret>,
    authzid: Authzid,
    tls: TlsPolicy,
    allow_plain: bool,
    timeouts: Timeouts,
    language: Option<String>,
    answers: Vec<String>,
}

impl Handle for Config {
    fn record(&mut self) -> &mut Record {
        &mut self.record
    }
}

impl Config {
    pub(crate) fn build(&self) -> Result<epode::Config, Failed> {
        let mut builder = epode::Config::builder(self.jid.clone())
            .authzid(self.authzid)
            .tls(self.tls)
            .mechanisms(MechanismPolicy {
                allow_plain: self.allow_plain,
                ..MechanismPolicy::default()
            })
            .timeouts(self.timeouts);
        if let Some(url) = &self.url {
            builder = builder.transport(Transport::Bosh(Bosh {
                url: url.clone(),
                ..self.bosh.clone()
            }));
        }
        builder = match (&self.identity, &self.password) {
            (Some(identity), Some(password)) => {
                builder.credentials(Credentials::certificate_and_password(identity, password.clone()))
            }
            (Some(identity), None) => builder.credentials(Credentials::certificate(identity, self.der.clone())),
            (None, Some(password)) => builder.credentials(Credentials::password(password.clone())),
            (None, None) => builder,
        };
        if let Some(language) = &self.language {
            builder = builder.language(language);
        }
        for namespace in &self.answers {
            builder = builder.answers(namespace);
        }
        Ok(builder.build()?)
    }
}

/// A configuration for `jid`, as `user@example.org`; a resource in it is asked for. On failure `*config` is NULL, and
/// `epode_code_sentence` has the sentence.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_new(jid: Slice, config: *mut *mut Config) -> u32 {
    guarded_new(|| {
        if config.is_null() {
            return Err(Failed::code(code::EPODE_NULL));
        }
        // SAFETY: not NULL, so it can be written to.
        unsafe { config.write(std::ptr::null_mut()) };
        // SAFETY: the host's promise for slices.
        let jid = unsafe { jid.required() }?;
        let jid = Jid::parse(jid).map_err(|error| Failed::new(code::EPODE_JID, error.to_string()))?;
        let made = Box::new(Config {
            record: Record::default(),
            jid,
            url: None,
            bosh: Bosh::new(String::new()),
            identity: None,
            der: None,
            password: None,
            authzid: Authzid::default(),
            tls: TlsPolicy::default(),
            allow_plain: false,
            timeouts: Timeouts::default(),
            language: None,
            answers: Vec::new(),
        });
        // SAFETY: as above.
        unsafe { config.write(Box::into_raw(made)) };
        Ok(())
    })
}

/// Frees a configuration; its password is overwritten. NULL is fine.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_free(config: *mut Config) {
    // SAFETY: the host's promise for handles.
    unsafe { free(config) };
}

/// The sentence of the last call on this configuration that failed, `epode_client_new` included. Empty if none did.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_last_error(config: *mut Config, sentence: *mut Slice) -> u32 {
    // SAFETY: the host's promise for handles.
    let (Some(config), false) = (unsafe { config.as_mut() }, sentence.is_null()) else {
        return code::EPODE_NULL;
    };
    // SAFETY: not NULL, so it can be written to.
    unsafe { sentence.write(Slice::new(config.record.sentence.as_bytes())) };
    code::EPODE_OK
}

/// Connects by BOSH (XEP-0124, XEP-0206) to this https URL. It is checked by `epode_client_new`.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_bosh_url(config: *mut Config, url: Slice) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        guarded(config, |config| {
            config.url = Some(url.required()?.to_owned());
            Ok(())
        })
    }
}

/// The longest time, in seconds, that the server may hold a request (default 60; at most 65535).
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_bosh_wait(config: *mut Config, seconds: u32) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.bosh.wait = in_range(seconds)?;
            Ok(())
        })
    }
}

/// How many requests the server may hold (default 1; 0 asks for a polling session; at most 255).
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_bosh_hold(config: *mut Config, requests: u32) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.bosh.hold = in_range(requests)?;
            Ok(())
        })
    }
}

/// How many requests may be open at once, whatever the server allows (default 4; 2 to 255).
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_bosh_max_requests(config: *mut Config, requests: u32) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            if requests < 2 {
                return Err(Failed::code(code::EPODE_VALUE));
            }
            config.bosh.max_requests = in_range(requests)?;
            Ok(())
        })
    }
}

/// Whether answers are acknowledged (XEP-0124 section 9; default true).
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_bosh_ack(config: *mut Config, ack: bool) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.bosh.ack = ack;
            Ok(())
        })
    }
}

/// The first request id (1 to 2^53 - 1), for tests that need known bytes; 0 draws it at random, as by default.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_bosh_first_rid(config: *mut Config, rid: u64) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.bosh.first_rid = (rid != 0).then_some(rid);
            Ok(())
        })
    }
}

/// Logs in by the TLS client certificate that the host knows by this label. `der` is the certificate itself, or NULL if the host
/// cannot show it. The key never comes here. Together with a password: two factors, the certificate in TLS, the password by SCRAM.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_certificate(config: *mut Config, label: Slice, der: Slice) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        guarded(config, |config| {
            let label = label.required()?.to_owned();
            config.der = der.bytes()?.map(<[u8]>::to_vec);
            config.identity = Some(label);
            Ok(())
        })
    }
}

/// Logs in by this password. The bytes are copied, and the copy is overwritten when it is freed; do the same with your own.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_password(config: *mut Config, password: Slice) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        guarded(config, |config| {
            let password = password.bytes()?.ok_or(Failed::code(code::EPODE_NULL))?;
            config.password = Some(Secret::new(password));
            Ok(())
        })
    }
}

/// Whether PLAIN, which shows the password to the server, may be used over verified TLS (default false).
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_allow_plain(config: *mut Config, allow: bool) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.allow_plain = allow;
            Ok(())
        })
    }
}

/// When SASL EXTERNAL names the account: an `EPODE_AUTHZID_` number.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_authzid(config: *mut Config, authzid: u32) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.authzid = match authzid {
                code::EPODE_AUTHZID_AUTO => Authzid::Auto,
                code::EPODE_AUTHZID_ALWAYS => Authzid::Always,
                code::EPODE_AUTHZID_NEVER => Authzid::Never,
                _ => return Err(Failed::code(code::EPODE_VALUE)),
            };
            Ok(())
        })
    }
}

/// Which links are good enough: an `EPODE_TLS_` number.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_tls(config: *mut Config, tls: u32) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.tls = match tls {
                code::EPODE_TLS_REQUIRED => TlsPolicy::Required,
                code::EPODE_TLS_ALLOW_PLAINTEXT => TlsPolicy::AllowPlaintext,
                _ => return Err(Failed::code(code::EPODE_VALUE)),
            };
            Ok(())
        })
    }
}

/// How long to wait, in milliseconds: `timeout` is an `EPODE_TIMEOUT_` number.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_timeout(config: *mut Config, timeout: u32, milliseconds: u64) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            let duration = Duration::from_millis(milliseconds);
            match timeout {
                code::EPODE_TIMEOUT_CONNECT => config.timeouts.connect = duration,
                code::EPODE_TIMEOUT_NEGOTIATION => config.timeouts.negotiation = duration,
                code::EPODE_TIMEOUT_CLOSE => config.timeouts.close = duration,
                code::EPODE_TIMEOUT_IQ => config.timeouts.iq = duration,
                _ => return Err(Failed::code(code::EPODE_VALUE)),
            }
            Ok(())
        })
    }
}

/// The default language of what is sent: a tag such as `en`, which is the default.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_language(config: *mut Config, language: Slice) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        guarded(config, |config| {
            config.language = Some(language.required()?.to_owned());
            Ok(())
        })
    }
}

/// The application answers `iq` requests whose payload is in this namespace: they arrive as `EPODE_REQUEST`. Others are refused for
/// it (RFC 6120 section 8.4), but for pings, which the client answers. May be called several times.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_answer(config: *mut Config, namespace: Slice) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        guarded(config, |config| {
            config.answers.push(namespace.required()?.to_owned());
            Ok(())
        })
    }
}

fn in_range<T: TryFrom<u32>>(value: u32) -> Result<T, Failed> {
    T::try_from(value).map_err(|_| Failed::code(code::EPODE_VALUE))
}
