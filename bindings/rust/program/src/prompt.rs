//! Secrets come from a prompt or from the environment, never from an argument, which every user of the machine could read.

use zeroize::Zeroizing;

use crate::exit::Failure;

/// A pass phrase or a password; zeroised when dropped.
pub type SecretText = Zeroizing<String>;

/// The environment variable with the pass phrase of a key file.
pub const PASSPHRASE_VARIABLE: &str = "EPODE_CERT_PASSPHRASE";
/// The environment variable with the password of an account.
pub const PASSWORD_VARIABLE: &str = "EPODE_PASSWORD";

/// The environment variable with the password that an account is to have instead.
pub const NEW_PASSWORD_VARIABLE: &str = "EPODE_NEW_PASSWORD";

/// The pass phrase that opens `file`, from [`PASSPHRASE_VARIABLE`] or a prompt. It may be empty: some files were made so.
///
/// # Errors
/// There is no terminal to ask at, or the variable is no Unicode.
pub fn passphrase_of(file: &str) -> Result<SecretText, Failure> {
    match from_environment(PASSPHRASE_VARIABLE)? {
        Some(secret) => Ok(secret),
        None => ask(&format!("Pass phrase of {file}: "), PASSPHRASE_VARIABLE),
    }
}

/// A pass phrase for a new file, from [`PASSPHRASE_VARIABLE`] or a prompt that asks twice.
///
/// # Errors
/// As [`passphrase_of`]; or the two answers differ; or it is empty: an empty one protects nothing, and importers disagree on what it is.
pub fn new_passphrase(file: &str) -> Result<SecretText, Failure> {
    let secret = match from_environment(PASSPHRASE_VARIABLE)? {
        Some(secret) => secret,
        None => {
            let first = ask(&format!("New pass phrase for {file}: "), PASSPHRASE_VARIABLE)?;
            // An empty one is refused below; asking for it again would be rude.
            if !first.is_empty() && ask("The same again: ", PASSPHRASE_VARIABLE)? != first {
                return Err(Failure::usage("the two pass phrases differ; nothing was written"));
            }
            first
        }
    };
    if secret.is_empty() {
        return Err(Failure::usage(format!(
            "an empty pass phrase protects nothing, and not every browser and phone imports such a file; \
             nothing was written; choose a pass phrase (at the prompt, or in {PASSPHRASE_VARIABLE})"
        )));
    }
    Ok(secret)
}

/// The password of `account`, from [`PASSWORD_VARIABLE`] or a prompt.
///
/// # Errors
/// There is no terminal to ask at, the variable is no Unicode, or the password is empty.
pub fn password_of(account: &str) -> Result<SecretText, Failure> {
    let secret = match from_environment(PASSWORD_VARIABLE)? {
        Some(secret) => secret,
        None => ask(&format!("Password of {account}: "), PASSWORD_VARIABLE)?,
    };
    if secret.is_empty() {
        return Err(Failure::usage(format!("the password of {account} may not be empty")));
    }
    Ok(secret)
}

/// The password that an account is to have, from [`PASSWORD_VARIABLE`] or a prompt that asks twice.
///
/// # Errors
/// As [`password_of`]; or the two answers differ.
pub fn new_password_of(account: &str) -> Result<SecretText, Failure> {
    match password_from_environment()? {
        Some(secret) => Ok(secret),
        None => ask_twice(account, PASSWORD_VARIABLE),
    }
}

/// The password that an account is to have instead of its present one, from [`NEW_PASSWORD_VARIABLE`] or a prompt that asks twice.
///
/// # Errors
/// As [`new_password_of`].
pub fn changed_password_of(account: &str) -> Result<SecretText, Failure> {
    match from_environment(NEW_PASSWORD_VARIABLE)? {
        Some(secret) if secret.is_empty() => Err(Failure::usage(format!(
            "{NEW_PASSWORD_VARIABLE} is empty: unset it, or give the new password"
        ))),
        Some(secret) => Ok(secret),
        None => ask_twice(account, NEW_PASSWORD_VARIABLE),
    }
}

fn ask_twice(account: &str, variable: &str) -> Result<SecretText, Failure> {
    let first = ask(&format!("New password of {account}: "), variable)?;
    if first.is_empty() {
        return Err(Failure::usage(format!("the password of {account} may not be empty")));
    }
    if ask("The same again: ", variable)? != first {
        return Err(Failure::usage("the two passwords differ; nothing was sent"));
    }
    Ok(first)
}

/// The access token that the variable of that name holds. Errors do not repeat the name: it may be the token, typed by mistake.
///
/// # Errors
/// There is no such variable, or it is empty.
pub fn token_from(variable: &str) -> Result<SecretText, Failure> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if variable.is_empty() || !variable.bytes().all(is_name) {
        return Err(Failure::usage(
            "--token-env takes the name of an environment variable that holds the token, never the token itself",
        ));
    }
    match std::env::var(variable) {
        Ok(token) if !token.is_empty() => Ok(Zeroizing::new(token)),
        Ok(_) | Err(_) => Err(Failure::usage(
            "the environment variable that --token-env names is not set, or is empty: put the access token there",
        )),
    }
}

/// The password from [`PASSWORD_VARIABLE`], if it is there: nobody is asked.
///
/// # Errors
/// The variable is no Unicode, or empty.
pub fn password_from_environment() -> Result<Option<SecretText>, Failure> {
    let secret = from_environment(PASSWORD_VARIABLE)?;
    if secret.as_ref().is_some_and(|secret| secret.is_empty()) {
        return Err(Failure::usage(format!(
            "{PASSWORD_VARIABLE} is empty: unset it, or give the password"
        )));
    }
    Ok(secret)
}

fn from_environment(variable: &str) -> Result<Option<SecretText>, Failure> {
    match std::env::var(variable) {
        Ok(value) => Ok(Some(Zeroizing::new(value))),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => Err(Failure::usage(format!("{variable} is not valid UTF-8"))),
    }
}

fn ask(question: &str, variable: &str) -> Result<SecretText, Failure> {
    rpassword::prompt_password(question)
        .map(Zeroizing::new)
        .map_err(|_| Failure::usage(format!("there is no terminal to ask at; set {variable} instead")))
}
