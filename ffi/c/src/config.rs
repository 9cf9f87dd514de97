//! The configuration of a client: a handle with setters, so that it can grow without breaking anybody. Those of BOSH are in
//! `bosh.rs`, those of time, bounds and continuity in `settings.rs`, those of credentials and of what a login may be in `login.rs`.

use epode::config::{
    Acknowledge, Bind, Bosh, Discover, Fast, KeyDerivation, Limits, Liveness, MechanismPolicy, Persist, Reconnect,
    StreamManagement, Tcp, Timeouts, Transport, UserAgent, WebSocket,
};
use epode::{Authzid, BareJid, Credentials, Jid, Secret, TcpTls, TlsPolicy};

use crate::code;
use crate::failure::Failed;
use crate::guard::{Handle, Record, free, guarded, guarded_new};
use crate::slice::Slice;

/// One account, how to prove it, and how to reach its server. It may be freed as soon as the client is made.
#[derive(Debug)]
pub struct Config {
    record: Record,
    jid: Jid,
    /// In the order in which they are tried. Of BOSH only the URL counts here.
    transports: Vec<Transport>,
    /// The parameters of BOSH, at whichever URL.
    pub(crate) bosh: Bosh,
    pub(crate) identity: Option<String>,
    pub(crate) der: Option<Vec<u8>>,
    pub(crate) password: Option<Secret>,
    /// Credentials that stand for themselves: neither a certificate nor a password is with them.
    pub(crate) alone: Option<Credentials>,
    authzid: Authzid,
    tls: TlsPolicy,
    pub(crate) mechanisms: MechanismPolicy,
    pub(crate) user_agent: UserAgent,
    pub(crate) fast: Fast,
    pub(crate) bind: Bind,
    pub(crate) key_derivation: KeyDerivation,
    pub(crate) tasks: Vec<String>,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    pub(crate) reconnect: Reconnect,
    pub(crate) stream_management: StreamManagement,
    pub(crate) liveness: Liveness,
    pub(crate) persist: Persist,
    pub(crate) acknowledge: Acknowledge,
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
            .mechanisms(self.mechanisms.clone())
            .user_agent(self.user_agent.clone())
            .fast(self.fast)
            .bind(self.bind.clone())
            .key_derivation(self.key_derivation)
            .timeouts(self.timeouts)
            .limits(self.limits.clone())
            .reconnect(self.reconnect)
            .stream_management(self.stream_management)
            .liveness(self.liveness)
            .persist(self.persist)
            .acknowledge(self.acknowledge);
        for transport in &self.transports {
            builder = builder.transport(if let Transport::Bosh(Bosh { url, .. }) = transport {
                Transport::Bosh(Bosh {
                    url: url.clone(),
                    ..self.bosh.clone()
                })
            } else {
                transport.clone()
            });
        }
        if let Some(credentials) = self.credentials() {
            builder = builder.credentials(credentials);
        }
        for task in &self.tasks {
            builder = builder.task(task);
        }
        if let Some(language) = &self.language {
            builder = builder.language(language);
        }
        for namespace in &self.answers {
            builder = builder.answers(namespace);
        }
        Ok(builder.build()?)
    }

    /// Whose it is.
    pub(crate) fn account(&self) -> BareJid {
        self.jid.to_bare()
    }

    /// What was set of them, if anything was.
    pub(crate) fn credentials(&self) -> Option<Credentials> {
        match (&self.identity, &self.password) {
            (Some(identity), Some(password)) => Some(Credentials::certificate_and_password(identity, password.clone())),
            (Some(identity), None) => Some(Credentials::certificate(identity, self.der.clone())),
            (None, Some(password)) => Some(Credentials::password(password.clone())),
            (None, None) => self.alone.clone(),
        }
    }

    /// Takes the place of all credentials that were set before.
    pub(crate) fn set_alone(&mut self, credentials: Credentials) {
        (self.identity, self.der, self.password) = (None, None, None);
        self.alone = Some(credentials);
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
            transports: Vec::new(),
            bosh: Bosh::new(String::new()),
            identity: None,
            der: None,
            password: None,
            alone: None,
            authzid: Authzid::default(),
            tls: TlsPolicy::default(),
            mechanisms: MechanismPolicy::default(),
            user_agent: UserAgent::default(),
            fast: Fast::default(),
            bind: Bind::default(),
            key_derivation: KeyDerivation::default(),
            tasks: Vec::new(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            reconnect: Reconnect::default(),
            stream_management: StreamManagement::default(),
            liveness: Liveness::default(),
            persist: Persist::default(),
            acknowledge: Acknowledge::default(),
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

/// Connects by BOSH (XEP-0124, XEP-0206) to this https URL and by nothing else: what was added before is forgotten. It is checked
/// by `epode_client_new`.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_bosh_url(config: *mut Config, url: Slice) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        guarded(config, |config| {
            config.transports = vec![Transport::Bosh(Bosh::new(url.required()?))];
            Ok(())
        })
    }
}

/// Adds BOSH (XEP-0124, XEP-0206) at this https URL to the transports, which are tried in the order in which they were added.
/// Where none is added, the way to the server is found by DNS and the server's host-meta, over all of them.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_add_bosh(config: *mut Config, url: Slice) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        guarded(config, |config| {
            config.transports.push(Transport::Bosh(Bosh::new(url.required()?)));
            Ok(())
        })
    }
}

/// Adds a WebSocket (RFC 7395) at this wss URL to the transports.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_add_websocket(config: *mut Config, url: Slice) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        guarded(config, |config| {
            let url = url.required()?.to_owned();
            config.transports.push(Transport::WebSocket(WebSocket { url }));
            Ok(())
        })
    }
}

/// Adds TCP (RFC 6120) to this host and port to the transports. `host` is a name in ASCII or an address, of IPv6 without brackets;
/// the certificate is checked for the domain of the account all the same. `tls` is `EPODE_TCP_DIRECT_TLS` or `EPODE_TCP_STARTTLS`.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_add_tcp(config: *mut Config, host: Slice, port: u32, tls: u32) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        guarded(config, |config| {
            let tcp = Tcp {
                host: host.required()?.to_owned(),
                port: in_range(port)?,
                tls: match tls {
                    code::EPODE_TCP_DIRECT_TLS => TcpTls::Direct,
                    code::EPODE_TCP_STARTTLS => TcpTls::StartTls,
                    _ => return Err(Failed::code(code::EPODE_VALUE)),
                },
            };
            config.transports.push(Transport::Tcp(tcp));
            Ok(())
        })
    }
}

/// Adds what DNS (RFC 6120 section 3.2, XEP-0368) and the server's host-meta (XEP-0156) say to the transports, of the kinds that are
/// true here. The host has to answer `EPODE_RESOLVE` for it.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_add_discovery(
    config: *mut Config,
    tcp: bool,
    websocket: bool,
    bosh: bool,
) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            let discover = Discover { tcp, websocket, bosh };
            config.transports.push(Transport::Discover(discover));
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

pub(crate) fn in_range<T: TryFrom<u32>>(value: u32) -> Result<T, Failed> {
    T::try_from(value).map_err(|_| Failed::code(code::EPODE_VALUE))
}
