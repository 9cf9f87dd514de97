//! The handle of one derivation of a key: independent of its client, so that another thread can run it.

use epode::{Derivation as Job, DerivedKey, JobId, Secret};

use crate::client::Client;
use crate::code;
use crate::failure::Failed;
use crate::guard::{Handle, Record, free, guarded};
use crate::held::hash_code;
use crate::output::DeriveKey;
use crate::slice::Slice;

/// One derivation of a key. It needs neither its client nor its client's thread.
#[derive(Debug)]
pub struct Derivation {
    record: Record,
    job: JobId,
    inputs: Job,
    key: Secret,
}

impl Handle for Derivation {
    fn record(&mut self) -> &mut Record {
        &mut self.record
    }
}

/// A handle of the `EPODE_DERIVE_KEY` that `epode_next` gave last: call it before anything else on the client. On failure `*derivation` is
/// NULL.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_derivation_new(client: *mut Client, derivation: *mut *mut Derivation) -> u32 {
    if derivation.is_null() {
        return code::EPODE_NULL;
    }
    // SAFETY: not NULL, so it can be written to.
    unsafe { derivation.write(std::ptr::null_mut()) };
    // SAFETY: the host's promise for handles.
    unsafe {
        guarded(client, |client| {
            let (job, inputs) = client
                .held
                .derivation()
                .ok_or(Failed::code(code::EPODE_NO_DERIVATION))?;
            let made = Box::new(Derivation {
                record: Record::default(),
                job,
                inputs: inputs.clone(),
                key: Secret::default(),
            });
            // SAFETY: not NULL, so it can be written to.
            derivation.write(Box::into_raw(made));
            Ok(())
        })
    }
}

/// Frees a derivation; its password and its key are overwritten. NULL is fine.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_derivation_free(derivation: *mut Derivation) {
    // SAFETY: the host's promise for handles.
    unsafe { free(derivation) };
}

/// What is to be derived, for a PBKDF2 of the platform's; its slices belong to this handle.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_derivation_inputs(derivation: *mut Derivation, inputs: *mut DeriveKey) -> u32 {
    // SAFETY: the host's promise for handles; the rest below.
    unsafe {
        guarded(derivation, |derivation| {
            if inputs.is_null() {
                return Err(Failed::code(code::EPODE_NULL));
            }
            // SAFETY: not NULL, so it can be written to.
            inputs.write(DeriveKey::new(derivation.job, &derivation.inputs));
            Ok(())
        })
    }
}

/// Derives the key, for as long as the iterations take: milliseconds to seconds. `*key` is what `epode_derived` takes. It belongs to this
/// handle, and logs in to this server as well as the password does: a copy may be kept, where secrets are kept, for
/// `epode_config_set_scram_key`.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_derivation_run(derivation: *mut Derivation, key: *mut Slice) -> u32 {
    // SAFETY: the host's promise for handles, and for what is written to.
    unsafe { derive(derivation, key, |inputs| Ok(inputs.run())) }
}

/// As `epode_derivation_run`, from what a PBKDF2 of the platform's made of the password: as many bytes as the hash has.
///
/// # Safety
///
/// As the conventions in the header say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn epode_derivation_with_salted_password(
    derivation: *mut Derivation,
    salted_password: Slice,
    key: *mut Slice,
) -> u32 {
    // SAFETY: the host's promise for handles and slices, and for what is written to.
    unsafe {
        derive(derivation, key, |inputs| {
            let salted = salted_password.bytes()?.ok_or(Failed::code(code::EPODE_NULL))?;
            if salted.len() != inputs.hash.output_bytes() {
                return Err(Failed::code(code::EPODE_VALUE));
            }
            Ok(inputs.with_salted_password(&Secret::new(salted)))
        })
    }
}

/// # Safety
///
/// As [`guarded`]; `key` is NULL or can be written to.
unsafe fn derive(
    derivation: *mut Derivation,
    key: *mut Slice,
    run: impl FnOnce(&Job) -> Result<DerivedKey, Failed>,
) -> u32 {
    // SAFETY: the caller's promise; the rest below.
    unsafe {
        guarded(derivation, |derivation| {
            if key.is_null() {
                return Err(Failed::code(code::EPODE_NULL));
            }
            derivation.key = run(&derivation.inputs)?.to_bytes();
            // SAFETY: not NULL, so it can be written to.
            key.write(Slice::new(derivation.key.expose()));
            Ok(())
        })
    }
}

impl DeriveKey {
    /// Whoever gives it to C has to see to it that the derivation stays.
    pub(crate) fn new(job: JobId, inputs: &Job) -> Self {
        Self {
            job: job.0,
            hash: hash_code(inputs.hash),
            iterations: inputs.iterations,
            salt: Slice::new(&inputs.salt),
            password: Slice::new(inputs.password.expose()),
        }
    }
}
