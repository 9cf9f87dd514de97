//! What `epode login` logs in with, and what it says when that cannot work.

use std::process::Output;

use epode_devserver::{Authentication, BearerToken, Settings};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, OtherNameValue,
    SanType,
};
use rustls::pki_types::CertificateDer;

use crate::world::{PASSWORD, World, epode, err, objects, out, run};

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

/// A server that has everything, and the way to it over TCP.
fn modern(name: &str) -> (World, Vec<String>) {
    let world = World::new(name, |settings| settings.authentication = Authentication::modern());
    let [(way, _), ..] = world.ways();
    (world, way)
}

/// What the first object says of a login that has to work.
fn online(output: &Output) -> serde_json::Value {
    assert_eq!(output.status.code(), Some(0), "{}{}", err(output), out(output));
    let line = objects(output).into_iter().find(|line| line["event"] == "online");
    line.expect("an object of the login")
}

#[test]
fn the_report_says_how_the_login_was_made() {
    let (world, way) = modern("report");
    let output = world.by_password(&way, &[]);
    let text = out(&output);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    for expected in [
        "  mechanism     SCRAM-SHA-512-PLUS (the server proved that it knows the password too)\n",
        "  profile       SASL2 (XEP-0388)\n",
        "  bound to      this TLS connection (tls-exporter)\n",
        "  round trips   ",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing in:\n{text}");
    }
    let said = online(&world.by_password(&way, &["--json"]));
    assert_eq!(said["mechanism"], "SCRAM-SHA-512-PLUS");
    assert_eq!(said["profile"], "sasl2");
    assert_eq!(said["channel_binding"], "tls-exporter");
    assert_eq!(said["server_proof"], true);
    assert!(said["round_trips"].as_u64().is_some_and(|count| count > 0), "{said}");
    assert_eq!(world.server.violations(), [""; 0]);
}

#[test]
fn the_mechanism_is_the_users_choice() {
    let (world, way) = modern("choice");
    for (arguments, mechanism) in [
        (&["--mechanism", "SCRAM-SHA-256"][..], "SCRAM-SHA-256"),
        (&["--mechanism", "scram-sha-1-plus"], "SCRAM-SHA-1-PLUS"),
        // To name it is to allow it.
        (&["--mechanism", "PLAIN"], "PLAIN"),
        (&["--min-mechanism", "SCRAM-SHA-256-PLUS"], "SCRAM-SHA-512-PLUS"),
    ] {
        let said = online(&world.by_password(&way, &[arguments, &["--json"]].concat()));
        assert_eq!(said["mechanism"], mechanism, "{arguments:?}");
    }
    world.server.control().change_authentication(|authentication| {
        authentication.plus = false;
        authentication.channel_bindings.clear();
    });
    let output = world.by_password(&way, &["--min-mechanism", "SCRAM-SHA-1-PLUS"]);
    assert_eq!(output.status.code(), Some(5), "{}", out(&output));
    assert!(err(&output).contains("SCRAM-SHA-1-PLUS"), "{}", err(&output));
    assert_eq!(world.server.violations(), [""; 0]);
}

#[test]
fn an_access_token_logs_in_and_is_nowhere_to_be_seen() {
    let (world, way) = modern("bearer");
    world.server.control().change_authentication(|authentication| {
        authentication.bearer_tokens = vec![BearerToken::good("geheim-token", "user01")];
    });
    let log = world.file("bearer.jsonl");
    let login = |token: &str, arguments: &[&str]| {
        let mut command = epode(&[
            "login",
            "user01@localhost",
            "--once",
            "--json",
            "--token-env",
            "ACCESS_TOKEN",
        ]);
        command
            .args(&way)
            .args(["--ca", &world.file("ca.crt")])
            .args(arguments)
            .env("ACCESS_TOKEN", token);
        command.output().unwrap()
    };
    let output = login("geheim-token", &["--record", &log]);
    assert_eq!(online(&output)["mechanism"], "OAUTHBEARER");
    assert!(!(out(&output) + &err(&output)).contains("geheim"), "{}", out(&output));
    // Neither as it is, nor as base64 of any alignment; and the log replays without it.
    let recorded = std::fs::read_to_string(&log).unwrap();
    for text in ["geheim", "Z2VoZWltLXRva", "dlaGVpbS10b2t", "nZWhlaW0tdG9r"] {
        assert!(!recorded.contains(text), "{text} is in the log");
    }
    let replayed = run(&["replay", &log]);
    assert_eq!(replayed.status.code(), Some(0), "{}", out(&replayed));
    let output = login("geheim-and-wrong", &[]);
    assert_eq!(output.status.code(), Some(5), "{}", out(&output));
    assert!(err(&output).contains("token"), "{}", err(&output));
    assert!(!(out(&output) + &err(&output)).contains("geheim"), "{}", err(&output));
    assert_eq!(world.server.violations(), [""; 0]);
}

#[test]
fn an_anonymous_login_gets_an_address_of_the_servers_making() {
    let (world, way) = modern("anonymous");
    world
        .server
        .control()
        .change_authentication(|authentication| authentication.anonymous = true);
    let mut command = epode(&["login", "localhost", "--anonymous", "--once", "--json"]);
    let output = command
        .args(&way)
        .args(["--ca", &world.file("ca.crt")])
        .output()
        .unwrap();
    let said = online(&output);
    assert_eq!(said["mechanism"], "ANONYMOUS");
    assert!(said["jid"].as_str().unwrap().contains("@localhost/"), "{said}");
    assert_eq!(world.server.violations(), [""; 0]);
}

#[test]
fn an_account_is_made_and_logged_in_to() {
    let (world, way) = modern("register");
    let login = |arguments: &[&str]| {
        let mut command = epode(&["login", "user03@localhost", "--once", "--json"]);
        command.args(&way).args(["--ca", &world.file("ca.crt")]).args(arguments);
        command.env("EPODE_PASSWORD", "user03's own").output().unwrap()
    };
    assert_eq!(login(&[]).status.code(), Some(5), "the account is there already");
    let said = online(&login(&["--register"]));
    assert!(said["jid"].as_str().unwrap().starts_with("user03@localhost/"), "{said}");
    online(&login(&[]));
    let output = login(&["--register"]);
    assert_eq!(output.status.code(), Some(5), "{}", out(&output));
    assert!(err(&output).contains("exists already"), "{}", err(&output));
    assert_eq!(world.server.violations(), [""; 0]);
}

#[test]
fn a_kept_token_logs_the_next_run_in_without_the_password() {
    let (world, way) = modern("kept-token");
    let folder = world.file("kept");
    let login = |password: bool, arguments: &[&str]| {
        let mut command = epode(&["login", "user01@localhost", "--once", "--json", "--keep", &folder]);
        command.args(&way).args(["--ca", &world.file("ca.crt")]).args(arguments);
        if password {
            command.env("EPODE_PASSWORD", PASSWORD);
        }
        command.output().unwrap()
    };
    let said = online(&login(true, &[]));
    assert_eq!(said["mechanism"], "SCRAM-SHA-512-PLUS", "{said}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(world.file("kept/token"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // Nobody is there to be asked.
    let said = online(&login(false, &[]));
    assert_eq!(said["mechanism"], "HT-SHA-256-EXPR", "{said}");
    assert_eq!(
        (&said["channel_binding"], &said["server_proof"]),
        (&"tls-exporter".into(), &true.into())
    );
    assert_eq!(said["resumed"], true, "{said}");

    // The token that is not taken any more is told, and then the password is needed.
    world.server.control().forget_tokens();
    let output = login(false, &[]);
    assert_eq!(output.status.code(), Some(2), "{}", out(&output));
    assert_eq!(objects(&output)[0]["event"], "warning", "{}", out(&output));
    assert!(err(&output).contains("EPODE_PASSWORD"), "{}", err(&output));
    let said = online(&login(true, &[]));
    assert_eq!(said["mechanism"], "SCRAM-SHA-512-PLUS", "{said}");

    // A last time, and then there is none.
    let said = online(&login(false, &["--forget-token"]));
    assert_eq!(said["mechanism"], "HT-SHA-256-EXPR", "{said}");
    assert_eq!(world.server.control().tokens(), 0);
    let output = login(false, &["--forget-token"]);
    assert_eq!(output.status.code(), Some(5), "{}", out(&output));
    let said = online(&login(true, &["--no-fast"]));
    assert_eq!(said["mechanism"], "SCRAM-SHA-512-PLUS", "{said}");
    assert_eq!(world.server.control().tokens(), 0);
    assert_eq!(world.server.violations(), [""; 0]);
}
