//! `epode certs` and `epode account`: what the README says of enrolling a certificate, and what servers refuse.

use std::process::{Command, Output};

use epode_devserver::Authentication;

use crate::world::{PASSWORD, World, epode, err, objects, out, run};

/// A server on which no administrator trusts anybody's certificate.
fn world(name: &str) -> World {
    World::new(name, |settings| {
        settings.authentication = Authentication::modern();
        settings.client_ca = Vec::new();
    })
}

impl World {
    /// The command, by TCP.
    fn there(&self, args: &[&str]) -> Command {
        let (way, _) = &self.ways()[0];
        let mut command = epode(args);
        command.args(way).args(["--ca", &self.file("ca.crt")]);
        command
    }

    fn with_password(&self, args: &[&str]) -> Output {
        self.there(args).env("EPODE_PASSWORD", PASSWORD).output().unwrap()
    }

    fn with_certificate_file(&self, args: &[&str], name: &str) -> Output {
        let (cert, key) = (self.file(&format!("{name}.crt")), self.file(&format!("{name}.key")));
        self.there(args)
            .args(["--cert", &cert, "--key", &key])
            .output()
            .unwrap()
    }
}

fn fine(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", out(output), err(output));
    out(output)
}

fn fails(output: &Output, status: i32) -> String {
    assert_eq!(output.status.code(), Some(status), "{}{}", out(output), err(output));
    err(output)
}

const OWN: [&str; 2] = ["--account", "user01@localhost"];

#[test]
fn a_certificate_is_enrolled_without_an_administrator() {
    let world = world("enrol");
    let made = epode(&[
        "cert",
        "new",
        "user01@localhost",
        "--name",
        "laptop",
        "--out",
        &world.file(""),
    ])
    .env("EPODE_CERT_PASSPHRASE", "a pass phrase")
    .output()
    .unwrap();
    fine(&made);
    let login = ["login", "user01@localhost", "--once"];
    fails(&world.with_certificate_file(&login, "laptop"), 5);

    let nothing = fine(&world.with_password(&[&["certs", "list"], &OWN[..]].concat()));
    assert!(nothing.contains("no certificate that you manage"), "{nothing}");
    // The account is the one that the file names.
    let file = world.file("laptop.crt");
    let added = fine(&world.with_password(&["certs", "add", &file, "--name", "My laptop"]));
    assert!(
        added.starts_with("added as \"My laptop\": from now on it logs in"),
        "{added}"
    );
    let online = fine(&world.with_certificate_file(&login, "laptop"));
    assert!(
        online.contains("EXTERNAL (the TLS client certificate is the proof"),
        "{online}"
    );

    let again = fails(&world.with_password(&["certs", "add", &file]), 1);
    assert!(
        again.contains("has this certificate already, called \"My laptop\""),
        "{again}"
    );
    let other = world.file("user01.crt");
    let taken = fails(
        &world.with_password(&["certs", "add", &other, "--name", "My laptop"]),
        1,
    );
    assert!(taken.contains("choose another name (--name)"), "{taken}");

    // By the certificate itself, which names the account.
    let bot = world.with_certificate_file(&["certs", "add", &other, "--login-only", "--json"], "laptop");
    fine(&bot);
    assert_eq!(
        (objects(&bot)[0]["event"].as_str(), objects(&bot)[0]["name"].as_str()),
        (Some("added"), Some("user01"))
    );
    let listed = world.with_certificate_file(&["certs", "list", "--json"], "laptop");
    fine(&listed);
    let listed = objects(&listed);
    assert_eq!(listed[0]["name"], "My laptop");
    assert_eq!(listed[0]["accounts"][0], "user01@localhost");
    assert_eq!(
        (&listed[0]["manages"], &listed[1]["manages"]),
        (&true.into(), &false.into())
    );
    assert_eq!(
        (&listed[2]["event"], &listed[2]["certificates"]),
        (&"summary".into(), &2.into())
    );
    let text = fine(&world.with_certificate_file(&["certs", "list"], "laptop"));
    for expected in [
        "My laptop\n",
        "user01@localhost",
        "it manages no certificates",
        "2 certificates",
    ] {
        assert!(text.contains(expected), "{text}");
    }
    let bot = fails(
        &world.with_certificate_file(&["certs", "disable", "My laptop"], "user01"),
        1,
    );
    assert!(bot.contains("this login may not manage certificates"), "{bot}");

    let unknown = fails(
        &world.with_password(&[&["certs", "revoke", "laptop"], &OWN[..]].concat()),
        1,
    );
    assert!(
        unknown.contains("no certificate called \"laptop\"; there is \"My laptop\", \"user01\""),
        "{unknown}"
    );
    let disabled = fine(&world.with_password(&[&["certs", "disable", "user01"], &OWN[..]].concat()));
    assert!(disabled.starts_with("disabled \"user01\""), "{disabled}");
    let revoked = world.with_password(&[&["certs", "revoke", "My laptop", "--json"], &OWN[..]].concat());
    fine(&revoked);
    assert_eq!(objects(&revoked)[0]["event"], "revoked");
    fails(&world.with_certificate_file(&login, "laptop"), 5);
    assert_eq!(world.server.violations(), [""; 0]);
}

/// The words of a line for the shell: what stands in quotes is one, and a comment is none.
fn words(line: &str) -> Vec<String> {
    let line = line.split(" #").next().unwrap();
    let quoted = |(at, piece): (usize, &str)| match at % 2 {
        0 => piece.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
        _ => vec![piece.to_owned()],
    };
    line.split('"').enumerate().flat_map(quoted).collect()
}

#[test]
fn the_commands_of_the_readme_do_what_it_says() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../README.md")).unwrap();
    let (_, section) = readme
        .split_once("### Enrol a certificate without an administrator")
        .unwrap();
    let commands = section.split("```").nth(1).unwrap().strip_prefix("sh\n").unwrap();
    let world = world("enrol-readme");
    let folder = world.file("readme");
    std::fs::create_dir_all(&folder).unwrap();
    let mut said = Vec::new();
    for line in commands.lines() {
        let words = words(&line.replace("example.org", "localhost"));
        let (program, args) = words.split_first().unwrap();
        assert_eq!(program, "epode", "{line}");
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = match args[0] {
            "cert" => epode(&args),
            "login" => world.there(&[&args[..], &["--once"]].concat()),
            _ => world.there(&args),
        };
        // The password, only where the README says that it is asked for.
        if args[..2] == ["certs", "add"] {
            command.env("EPODE_PASSWORD", PASSWORD);
        }
        command
            .env("EPODE_CERT_PASSPHRASE", "a pass phrase")
            .current_dir(&folder);
        said.push(fine(&command.output().unwrap()));
    }
    let expected = [
        "user01.p12",
        "added as \"My laptop\"",
        "EXTERNAL",
        "1 certificate",
        "disabled \"My laptop\"",
    ];
    assert_eq!(said.len(), expected.len());
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(world.server.violations(), [""; 0]);
}

#[test]
fn what_is_no_certificate_of_the_account_is_said_before_or_warned_of() {
    let world = world("enrol-wrong");
    let key = world.file("user01.key");
    let said = fails(&world.with_password(&[&["certs", "add", &key], &OWN[..]].concat()), 2);
    assert!(said.contains("user01.key"), "{said}");
    let file = world.file("user02.crt");
    let warned = fine(&world.with_password(&[&["certs", "add", &file], &OWN[..]].concat()));
    assert!(
        warned.contains("warning: the certificate does not name user01@localhost"),
        "{warned}"
    );
    let nobody = fails(&world.there(&["certs", "list"]).output().unwrap(), 2);
    assert!(nobody.contains("--account JID"), "{nobody}");
}

#[test]
fn a_password_is_changed_and_an_account_removed() {
    const NEW: &str = "another canary";
    let world = world("enrol-password");
    let change = |old: &str, new: &str, more: &[&str]| {
        let mut command = world.there(&[&["account", "password"], &OWN[..], more].concat());
        command
            .env("EPODE_PASSWORD", old)
            .env("EPODE_NEW_PASSWORD", new)
            .output()
            .unwrap()
    };
    assert!(fails(&change(PASSWORD, "", &[]), 2).contains("EPODE_NEW_PASSWORD is empty"));
    assert!(fails(&change(PASSWORD, "a\u{7}b", &[]), 2).contains("nobody could log in with it"));
    let done = change(PASSWORD, NEW, &["--json"]);
    assert!(!fine(&done).contains("canary") && !err(&done).contains("canary"));
    assert_eq!(objects(&done)[0]["event"], "password_changed");
    fails(&change(PASSWORD, "a third", &[]), 5);

    let remove = |confirm: &str| {
        let mut command = world.there(&[&["account", "remove", "--confirm", confirm], &OWN[..]].concat());
        command.env("EPODE_PASSWORD", NEW).output().unwrap()
    };
    assert!(fails(&remove("user02@localhost"), 2).contains("nothing was removed"));
    let gone = fine(&remove("user01@localhost"));
    assert!(gone.starts_with("user01@localhost is removed"), "{gone}");
    fails(&change(NEW, "a fourth", &[]), 5);
    assert_eq!(world.server.violations(), [""; 0]);
}

#[test]
fn a_server_without_it_says_where_to_turn() {
    let world = World::new("enrol-none", |_| {});
    let file = world.file("user01.crt");
    let said = fails(&world.with_password(&["certs", "add", &file]), 1);
    assert!(
        said.contains("it has no XEP-0257") && said.contains("administrator"),
        "{said}"
    );
    let said = world
        .there(&[&["account", "password"], &OWN[..]].concat())
        .env("EPODE_PASSWORD", PASSWORD)
        .env("EPODE_NEW_PASSWORD", "x")
        .output()
        .unwrap();
    assert!(fails(&said, 1).contains("does not let users change their passwords"));
}

#[test]
fn secrets_are_no_arguments_and_the_help_teaches() {
    let said = fails(&run(&["account", "password", "--new-password", "canary"]), 2);
    assert!(
        said.contains("EPODE_NEW_PASSWORD") && !said.contains("canary"),
        "{said}"
    );
    let help = fine(&run(&["certs", "add", "--help"]));
    for expected in [
        "epode cert new user01@example.org",
        "--login-only",
        "never the key",
        "XEP-0257",
    ] {
        assert!(help.contains(expected), "{help}");
    }
    assert!(fine(&run(&["account", "remove", "--help"])).contains("There is no way back"));
}
