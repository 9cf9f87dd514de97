//! `epode cert new` and `epode cert ca`: key, certificate and PKCS#12 in one step.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use epode::jid::BareJid;

use super::{date, shown, trust};
use crate::{
    cli::{CertCaArgs, CertNewArgs},
    exit::{Exit, Failure},
    identity::{load_certificates, load_key, plain_words},
    pki::{self, Authority, Strength, Validity},
    prompt,
    terminal::{Terminal, visible},
};

/// `epode cert new`.
///
/// # Errors
/// A sentence for the user; no file was written then, unless the disk failed between two.
pub fn client(args: &CertNewArgs) -> Result<Exit, Failure> {
    let name = args.name.clone().unwrap_or_else(|| file_name(&args.jid));
    let file = |ending: &str| file_in(&args.out, &format!("{name}.{ending}"));
    let (certificate, key, pkcs12) = (file("crt"), file("key"), file("p12"));
    let authority = authority_of(args)?;
    // Nobody should think of a pass phrase in vain.
    refuse_a_file(&args.out)?;
    refuse_to_replace(&[&certificate, &key, &pkcs12], args.force)?;
    let passphrase = prompt::new_passphrase(&shown(&pkcs12))?;

    let issued = pki::make_client_cert(authority.as_ref(), &args.jid, Validity::days(args.days))?;
    let strength = if args.legacy {
        Strength::Legacy
    } else {
        Strength::Modern
    };
    let archive = issued.pkcs12(args.jid.as_str(), &passphrase, strength)?;

    make_folder(&args.out)?;
    write(&key, issued.key_pem().as_bytes(), Readers::Owner, args.force)?;
    write(
        &certificate,
        issued.certificate_pem().as_bytes(),
        Readers::Everyone,
        args.force,
    )?;
    write(&pkcs12, &archive, Readers::Owner, args.force)?;

    let signer = match &args.ca {
        Some(ca) => format!("signed by the authority in {}", shown(ca)),
        None => "signed by itself".into(),
    };
    say(format_args!(
        "A client certificate for {}, {signer}, valid until {}:",
        args.jid,
        date(issued.validity.not_after)
    ));
    if let Some(authority) = &authority
        && issued.validity.not_after == authority.validity().not_after
    {
        say(format_args!(
            "(no longer than its authority, though --days allowed {} days)",
            args.days
        ));
    }
    let archive_note = if args.legacy {
        "both, locked by the pass phrase the old way (3DES, SHA-1): keep it out of untrusted hands"
    } else {
        "both, locked by the pass phrase: for browsers, phones and epode login --cert"
    };
    print_files(&[
        (&certificate, "the certificate"),
        (&key, "its private key, not encrypted: keep it secret"),
        (&pkcs12, archive_note),
    ]);
    let trusted = args.ca.as_deref().unwrap_or(&certificate);
    say(format_args!(
        "{}",
        trust::instructions(args.jid.domain(), trusted, args.ca.is_none())
    ));
    Ok(Exit::Fine)
}

/// `epode cert ca`.
///
/// # Errors
/// As [`client`].
pub fn authority(args: &CertCaArgs) -> Result<Exit, Failure> {
    let certificate = file_in(&args.out, &format!("{}.crt", args.name));
    let key = file_in(&args.out, &format!("{}.key", args.name));
    refuse_a_file(&args.out)?;
    refuse_to_replace(&[&certificate, &key], args.force)?;
    let (_, issued) = pki::make_ca(&args.title, Validity::days(args.days))?;
    make_folder(&args.out)?;
    write(&key, issued.key_pem().as_bytes(), Readers::Owner, args.force)?;
    write(
        &certificate,
        issued.certificate_pem().as_bytes(),
        Readers::Everyone,
        args.force,
    )?;
    say(format_args!(
        "A certificate authority, \"{}\", valid until {}:",
        visible(&args.title),
        date(issued.validity.not_after)
    ));
    print_files(&[
        (&certificate, "its certificate: what servers are given"),
        (
            &key,
            "its private key, not encrypted: whoever has it can log in as anyone",
        ),
    ]);
    say(format_args!(
        "Next: epode cert new user01@example.org --ca {} --ca-key {}",
        shown(&certificate),
        shown(&key)
    ));
    Ok(Exit::Fine)
}

fn authority_of(args: &CertNewArgs) -> Result<Option<Authority>, Failure> {
    let (Some(certificate), Some(key)) = (&args.ca, &args.ca_key) else {
        return Ok(None);
    };
    let first = load_certificates(certificate)?
        .into_iter()
        .next()
        .ok_or_else(|| Failure::usage(format!("{} holds no certificate", shown(certificate))))?;
    Authority::new(first, &load_key(key)?).map(Some)
}

// RFC 7622 forbids '/' in the part before '@', but not everything that a shell or a file system takes for something else.
fn file_name(account: &BareJid) -> String {
    let name: String = account
        .local()
        .unwrap_or_else(|| account.domain())
        .chars()
        .enumerate()
        .map(|(at, c)| {
            if c.is_alphanumeric() || c == '_' || (at > 0 && matches!(c, '-' | '.' | '+')) {
                c
            } else {
                '_'
            }
        })
        .collect();
    // File systems take 255 octets, with the ending.
    let mut end = name.len().min(200);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or("xmpp").into()
}

fn say(line: impl fmt::Display) {
    Terminal::plain().line(line);
}

// Without the "./" that would make every line longer.
fn file_in(folder: &Path, name: &str) -> PathBuf {
    if folder == Path::new(".") {
        name.into()
    } else {
        folder.join(name)
    }
}

// A table of files and what they are for.
fn print_files(rows: &[(&Path, &str)]) {
    let width = rows
        .iter()
        .map(|(file, _)| shown(file).chars().count())
        .max()
        .unwrap_or_default();
    say("");
    for (file, purpose) in rows {
        say(format_args!("  {:<width$}  {purpose}", shown(file)));
    }
    say("");
}

fn refuse_to_replace(files: &[&PathBuf], force: bool) -> Result<(), Failure> {
    if force {
        return Ok(());
    }
    match files.iter().find(|file| file.symlink_metadata().is_ok()) {
        None => Ok(()),
        Some(file) => Err(already_there(file)),
    }
}

fn already_there(file: &Path) -> Failure {
    Failure::usage(format!(
        "{} is already there; choose another folder with --out or another --name, or replace it with --force",
        shown(file)
    ))
}

fn refuse_a_file(folder: &Path) -> Result<(), Failure> {
    if folder.exists() && !folder.is_dir() {
        return Err(Failure::usage(format!(
            "{} is a file, not a folder; choose another folder with --out",
            shown(folder)
        )));
    }
    Ok(())
}

fn make_folder(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| {
        Failure::other(format!(
            "the folder {} cannot be made: {}",
            shown(folder),
            plain_words(&error)
        ))
    })
}

#[derive(Clone, Copy)]
enum Readers {
    Owner,
    Everyone,
}

// The file is created anew, also with `force`: so it never has the wider permissions of an older one, nor is written through a link.
fn write(file: &Path, octets: &[u8], readers: Readers, force: bool) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            return already_there(file);
        }
        Failure::other(format!("{} cannot be written: {}", shown(file), plain_words(&error)))
    };
    if force && file.symlink_metadata().is_ok() {
        fs::remove_file(file).map_err(failed)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(match readers {
            Readers::Owner => 0o600,
            Readers::Everyone => 0o644,
        });
    }
    #[cfg(not(unix))]
    let _ = readers;
    let mut open = options.open(file).map_err(failed)?;
    open.write_all(octets).and_then(|()| open.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_after_the_account_and_stay_in_their_folder() {
        let name = |text: &str| file_name(&BareJid::parse(text).unwrap());
        assert_eq!(name("user01@example.org"), "user01");
        assert_eq!(name("jürgen.k@example.org"), "jürgen.k");
        assert_eq!(name("..@example.org"), "_.");
        assert_eq!(name("-rf@example.org"), "_rf");
        assert_eq!(name("a\\20b@example.org"), "a_20b");
        assert!(name(&format!("{}@example.org", "ü".repeat(400))).len() <= 200);
    }
}
