//! What `epode login` logs in with, and what it says when that cannot work.

use epode_devserver::Settings;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, OtherNameValue,
    SanType,
};
use rustls::pki_types::CertificateDer;

use crate::world::{PASSWORD, World, epode, err, objects, out};

/// An authority that is not this program's: what it signs is not either.
struct Signer {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Signer {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "another authority");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    fn trusted(&self) -> impl FnOnce(&mut Settings) {
        let certificate = self.certificate.clone();
        move |settings| settings.client_ca.push(certificate)
    }

    /// Writes `NAME.crt` and `NAME.key` for these accounts.
    fn sign(&self, world: &World, name: &str, jids: &[&str], change: impl FnOnce(&mut CertificateParams)) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "a client");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        for jid in jids {
            let value = OtherNameValue::Utf8String((*jid).to_owned());
            params
                .subject_alt_names
                .push(SanType::OtherName((vec![1, 3, 6, 1, 5, 5, 7, 8, 5], value)));
        }
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(world.file(&format!("{name}.crt")), certificate.pem()).unwrap();
        std::fs::write(world.file(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

#[test]
fn a_certificate_that_names_one_account_needs_no_jid() {
    let world = World::new("no-jid", |_| {});
    let output = world
        .with_certificate(&["login"], "user01", &["--once", "--json"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let lines = objects(&output);
    assert!(lines[0]["jid"].as_str().unwrap().starts_with("user01@localhost/"));
    assert_eq!(world.server.violations(), [""; 0]);
}

#[test]
fn a_certificate_that_names_two_accounts_needs_a_choice() {
    let signer = Signer::new();
    let world = World::new("two-accounts", signer.trusted());
    signer.sign(&world, "both", &["user01@localhost", "user02@localhost"], |_| {});
    let login = |arguments: &[&str]| world.with_certificate(arguments, "both", &["--once"]).output().unwrap();
    let output = login(&["login"]);
    assert_eq!(output.status.code(), Some(2), "{}", out(&output));
    assert_eq!(
        err(&output),
        "epode: the certificate names several accounts, and one of them has to be chosen: user01@localhost \
         user02@localhost; name it: epode login JID --cert FILE\n"
    );
    assert_eq!(world.server.statistics().connections, 0);

    let output = login(&["login", "user02@localhost"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(
        out(&output).contains("identity      user02@localhost/"),
        "{}",
        out(&output)
    );

    signer.sign(&world, "nobody", &[], |_| {});
    let output = world
        .with_certificate(&["login"], "nobody", &["--once"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", out(&output));
    assert!(err(&output).contains("names no XMPP account"), "{}", err(&output));
    let output = epode(&["login", "--once"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("which account?"), "{}", err(&output));
}

#[test]
fn a_certificate_that_no_server_would_take_is_explained_before_one_is_asked() {
    let signer = Signer::new();
    let world = World::new("bad-certificate", signer.trusted());
    for (name, expected) in [
        ("expired", "the client certificate expired on 2001-01-01"),
        ("early", "valid only from 3000-01-01"),
        ("server", "its extended key usage lacks clientAuth"),
    ] {
        signer.sign(&world, name, &["user01@localhost"], |params| match name {
            "expired" => params.not_after = rcgen::date_time_ymd(2001, 1, 1),
            "early" => params.not_before = rcgen::date_time_ymd(3000, 1, 1),
            _ => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
        });
        let output = world.login(name, &["--once"]);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", out(&output));
        assert!(err(&output).contains(expected), "{name}: {}", err(&output));
        assert!(
            err(&output).contains("no connection was made"),
            "{name}: {}",
            err(&output)
        );
    }
    assert_eq!(world.server.statistics().connections, 0);
}

#[test]
fn what_a_mechanism_needs_is_said_before_a_server_is_asked() {
    let world = World::new("needs", |_| {});
    let way = [
        "--bosh",
        &world.server.bosh_url(),
        "--ca",
        &world.file("ca.crt"),
        "--once",
    ];
    for (arguments, expected) in [
        (
            &["--mechanism", "EXTERNAL"][..],
            "EXTERNAL needs a certificate alone: --cert",
        ),
        (
            &["--mechanism", "OAUTHBEARER"],
            "OAUTHBEARER needs an access token: --token-env",
        ),
        (&["--mechanism", "ANONYMOUS"], "ANONYMOUS needs --anonymous"),
        (&["--anonymous"], "give the server's domain instead of a JID"),
        (&["--mechanism", "SCRAM-SHA-257"], "there is no such mechanism here"),
    ] {
        let mut command = epode(&["login", "user01@localhost"]);
        let output = command
            .args(way)
            .args(arguments)
            .env("EPODE_PASSWORD", PASSWORD)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", err(&output));
        assert!(err(&output).contains(expected), "{arguments:?}: {}", err(&output));
    }
    assert_eq!(world.server.statistics().connections, 0);
}

#[test]
fn an_access_token_comes_from_the_environment_and_is_never_repeated() {
    let world = World::new("token-env", |_| {});
    let login = |arguments: &[&str]| {
        let mut command = epode(&[
            "login",
            "user01@localhost",
            "--once",
            "--bosh",
            &world.server.bosh_url(),
        ]);
        command
            .args(["--ca", &world.file("ca.crt")])
            .args(arguments)
            .env_remove("ACCESS_TOKEN");
        command
    };
    for (arguments, expected) in [
        (&["--token-env", "ACCESS_TOKEN"][..], "is not set, or is empty"),
        // The token itself, in place of the variable's name: with and without characters that a name may have.
        (&["--token-env", "eyJhbGciOi.J9-geheim"], "never the token itself"),
        (&["--token-env", "geheim"], "is not set, or is empty"),
        (&["--token", "geheim"], "that --token-env names"),
    ] {
        let output = login(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = err(&output) + &out(&output);
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert!(!said.contains("geheim"), "{arguments:?}: {said}");
    }
    assert_eq!(world.server.statistics().connections, 0);
}
