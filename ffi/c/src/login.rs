//! Setters of the configuration: how the account is proved, and what a login may and may not be.

use epode::config::{Bind, DigestMd5, Fast, KeyDerivation, ScramIterations, UserAgent};
use epode::{ChannelBindingType, Credentials, DerivedKey, Secret};

use crate::code;
use crate::config::Config;
use crate::failure::Failed;
use crate::guard::guarded;
use crate::slice::Slice;

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
            config.password = Some(secret(password)?);
            Ok(())
        })
    }
}

/// Logs in by SCRAM with this key instead of the password: the bytes that `epode_derivation_run` gave at an earlier login. Where the server has
/// another salt or count by now, the login fails with `EPODE_LOGIN_KEY_DOES_NOT_FIT`. The bytes log in as well as the password does:
/// they are copied, and the copy is overwritten when it is freed.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_scram_key(config: *mut Config, key: Slice) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        guarded(config, |config| {
            let key = DerivedKey::from_bytes(key.bytes()?.ok_or(Failed::code(code::EPODE_NULL))?)?;
            config.set_alone(Credentials::ScramKey { key });
            Ok(())
        })
    }
}

/// Logs in by this OAuth 2.0 access token (RFC 7628). The bytes are copied, and the copy is overwritten when it is freed.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_access_token(config: *mut Config, token: Slice) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        guarded(config, |config| {
            let token = secret(token)?;
            config.set_alone(Credentials::AccessToken { token });
            Ok(())
        })
    }
}

/// Logs in by nothing but the login token that is restored (`EPODE_SLOT_TOKEN`, XEP-0484).
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_kept_token(config: *mut Config) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.set_alone(Credentials::KeptToken);
            Ok(())
        })
    }
}

/// Logs in to no account: the server makes one up (ANONYMOUS, XEP-0175). The JID is the server's domain.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_anonymous(config: *mut Config) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.set_alone(Credentials::Anonymous);
            Ok(())
        })
    }
}

/// Registers the account (XEP-0077 section 3.1), which does not exist yet, with this password, and logs in to it. The bytes are copied, and
/// the copy is overwritten when it is freed.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_new_account(config: *mut Config, password: Slice) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        guarded(config, |config| {
            let password = secret(password)?;
            config.set_alone(Credentials::NewAccount { password });
            Ok(())
        })
    }
}

/// Logs in by nothing: the client looks at what the server offers (`EPODE_OFFERED`), says goodbye and is offline. The JID may be a
/// domain. As with all credentials, what was set before is forgotten, and what is set afterwards counts.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_no_credentials(config: *mut Config) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.set_alone(Credentials::Nothing);
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
            config.mechanisms.allow_plain = allow;
            Ok(())
        })
    }
}

/// Whether DIGEST-MD5 (RFC 2831, historic) may be used over verified TLS (default false). `realm` is the realm, whatever the server offers;
/// NULL: the one that is called like the domain, or the only one. `always_utf8` hashes names and passwords as UTF-8 also where they
/// could be ISO-8859-1.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_digest_md5(
    config: *mut Config,
    allow: bool,
    realm: Slice,
    always_utf8: bool,
) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        guarded(config, |config| {
            let realm = realm.text()?.map(str::to_owned);
            config.mechanisms.digest_md5 = allow.then_some(DigestMd5 { realm, always_utf8 });
            Ok(())
        })
    }
}

/// Uses only the mechanisms that are added here, as `SCRAM-SHA-256-PLUS`. Where none is, all may be used. The order counts for nothing:
/// the best that the server offers is used.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_add_mechanism(config: *mut Config, name: Slice) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        guarded(config, |config| {
            let name = name.required()?.to_owned();
            config.mechanisms.only.get_or_insert_default().push(name);
            Ok(())
        })
    }
}

/// Uses no mechanism that stands behind this one in the client's order of preference, as `SCRAM-SHA-256`; NULL: any that may be used. The
/// order: EXTERNAL, tokens (HT), SCRAM with channel binding (SHA-512, -384, -256, -1), SCRAM without, OAUTHBEARER, X-OAUTH2,
/// DIGEST-MD5, PLAIN, ANONYMOUS.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_least_mechanism(config: *mut Config, name: Slice) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        guarded(config, |config| {
            config.mechanisms.least = name.text()?.map(str::to_owned);
            Ok(())
        })
    }
}

/// Binds logins only to the types that are added here, each an `EPODE_BINDING_` number. Where none is, to all that the host gives and the
/// server offers. The order counts for nothing.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_add_channel_binding(config: *mut Config, channel_binding: u32) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            let channel_binding = match channel_binding {
                code::EPODE_BINDING_TLS_EXPORTER => ChannelBindingType::TlsExporter,
                code::EPODE_BINDING_TLS_UNIQUE => ChannelBindingType::TlsUnique,
                code::EPODE_BINDING_TLS_SERVER_END_POINT => ChannelBindingType::TlsServerEndPoint,
                _ => return Err(Failed::code(code::EPODE_VALUE)),
            };
            let types = &mut config.mechanisms.channel_bindings;
            types.get_or_insert_default().push(channel_binding);
            Ok(())
        })
    }
}

/// How many iterations a SCRAM server may ask for: fewer than `min` (4096) would help to guess the password, more than `max`
/// (2000000) would only burn time.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_scram_iterations(config: *mut Config, min: u32, max: u32) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.mechanisms.scram = ScramIterations { min, max };
            Ok(())
        })
    }
}

/// Whether SASL2 (XEP-0388) is used where the server has it and TLS protects the link (default true).
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_sasl2(config: *mut Config, sasl2: bool) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.mechanisms.sasl2 = sasl2;
            Ok(())
        })
    }
}

/// Whether to log in by token or by certificate in the same breath as the stream is opened, where an earlier login has shown that the server
/// takes it (default true): a round trip less. SASL2 on TCP and WebSocket only.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_pipeline(config: *mut Config, pipeline: bool) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.mechanisms.pipeline = pipeline;
            Ok(())
        })
    }
}

/// Whether to refuse less than the strongest class of mechanism that the server has offered to this account before (`mechanism`, default
/// true), and to insist on channel binding that was there before on the same transport (`channel_binding`, default false: a server
/// behind another proxy may have lost it). What was seen is kept in the client, and in `EPODE_SLOT_PINS`.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_pin(config: *mut Config, mechanism: bool, channel_binding: bool) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.mechanisms.pin = mechanism;
            config.mechanisms.pin_channel_binding = channel_binding;
            Ok(())
        })
    }
}

/// Whether a login by token (XEP-0484) counts where the server does not prove that it knows the token (default false). A wrong proof never
/// counts.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_allow_missing_ht_server_proof(config: *mut Config, allow: bool) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.mechanisms.allow_missing_ht_server_proof = allow;
            Ok(())
        })
    }
}

/// Whether to give the server the means for a stronger SCRAM where it asks for them (XEP-0480), after it has proved itself (default
/// false).
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_upgrade(config: *mut Config, upgrade: bool) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.mechanisms.upgrade = upgrade;
            Ok(())
        })
    }
}

/// What the client says about itself (XEP-0388 section 2.4): `id`, a UUID of version 4 that is the same for all the life of an installation,
/// or NULL: the client draws one, and keeps it with the login token; the names of the software and of the device, for the user's eyes,
/// or NULL for none. The default names the software `epode`.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_user_agent(
    config: *mut Config,
    id: Slice,
    software: Slice,
    device: Slice,
) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        guarded(config, |config| {
            config.user_agent = UserAgent {
                id: id.text()?.map(str::to_owned),
                software: software.text()?.map(str::to_owned),
                device: device.text()?.map(str::to_owned),
            };
            Ok(())
        })
    }
}

/// Whether login tokens (XEP-0484) are used: an `EPODE_FAST_` number. They are stored in `EPODE_SLOT_TOKEN`, where
/// `epode_config_set_persist` says that anything is.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_fast(config: *mut Config, fast: u32) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.fast = match fast {
                code::EPODE_FAST_USE => Fast::Use,
                code::EPODE_FAST_OFF => Fast::Off,
                code::EPODE_FAST_INVALIDATE => Fast::Invalidate,
                _ => return Err(Failed::code(code::EPODE_VALUE)),
            };
            Ok(())
        })
    }
}

/// What is asked for together with a resource, where the server has Bind 2 (XEP-0386): the name of the software, which becomes a part of
/// the resource (default `epode`), and whether messages of the account's other devices are copied to this one (XEP-0280; default false).
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_bind(config: *mut Config, tag: Slice, carbons: bool) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        guarded(config, |config| {
            let tag = tag.required()?.to_owned();
            config.bind = Bind { tag, carbons };
            Ok(())
        })
    }
}

/// Who derives SCRAM's keys from the password: `EPODE_DERIVE_INLINE` or `EPODE_DERIVE_HOST`.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_set_key_derivation(config: *mut Config, who: u32) -> u32 {
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(config, |config| {
            config.key_derivation = match who {
                code::EPODE_DERIVE_INLINE => KeyDerivation::Inline,
                code::EPODE_DERIVE_HOST => KeyDerivation::Host,
                _ => return Err(Failed::code(code::EPODE_VALUE)),
            };
            Ok(())
        })
    }
}

/// The application can do this task (XEP-0388 section 2.6.4) where the server asks for it after the credentials, a second factor for example:
/// `EPODE_TASK`. May be called several times.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_config_add_task(config: *mut Config, task: Slice) -> u32 {
    // SAFETY: the host's promise for handles and slices.
    unsafe {
        guarded(config, |config| {
            config.tasks.push(task.required()?.to_owned());
            Ok(())
        })
    }
}

/// # Safety
///
/// The promise for slices.
unsafe fn secret(bytes: Slice) -> Result<Secret, Failed> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes.bytes() }?.ok_or(Failed::code(code::EPODE_NULL))?;
    Ok(Secret::new(bytes))
}
