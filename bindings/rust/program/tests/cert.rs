//! `epode cert` as a user types it, judged by the tools that read such files elsewhere: openssl, Java's keytool and NSS's pk12util.

#[cfg(test)]
mod support;

use std::fs;

use support::{Folder, PASSPHRASE, epode, epode_with, fails, json, oid_of_xmpp_addr, tool};

#[test]
fn a_new_certificate_names_the_account_as_rfc_6120_wants_it() {
    let folder = Folder::new("new");
    let said = epode(&folder, &["cert", "new", "User01@Example.org"]);
    for word in [
        "user01.crt",
        "user01.key",
        "user01.p12",
        "https_ssl",
        "tls_verify",
        "httpbind.client.cert.policy",
        "signed by itself",
    ] {
        assert!(said.contains(word), "the text does not mention {word}:\n{said}");
    }

    let text = tool(&folder, "openssl", &["x509", "-in", "user01.crt", "-noout", "-text"]);
    for line in [
        "TLS Web Client Authentication",
        "Digital Signature",
        "CA:FALSE",
        "XmppAddr::user01@example.org",
        "CN = user01@example.org",
        "prime256v1",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
    assert_eq!(
        oid_of_xmpp_addr(&folder, "user01.crt"),
        "UTF8STRING :user01@example.org"
    );

    // Its time is set, not rcgen's 1975 to 4096.
    tool(
        &folder,
        "openssl",
        &["x509", "-in", "user01.crt", "-noout", "-checkend", "62985600"],
    ); // 729 days
    fails(
        &folder,
        "openssl",
        &["x509", "-in", "user01.crt", "-noout", "-checkend", "63158400"],
    ); // 731 days

    // A server that is given the certificate itself accepts it as a client's.
    tool(
        &folder,
        "openssl",
        &["verify", "-CAfile", "user01.crt", "-purpose", "sslclient", "user01.crt"],
    );
    tool(
        &folder,
        "openssl",
        &[
            "verify",
            "-x509_strict",
            "-CAfile",
            "user01.crt",
            "-purpose",
            "sslclient",
            "user01.crt",
        ],
    );
    tool(&folder, "openssl", &["pkey", "-in", "user01.key", "-noout", "-check"]);
}

#[test]
fn two_certificates_have_different_serial_numbers_and_keys() {
    let folder = Folder::new("serial");
    epode(&folder, &["cert", "new", "user01@example.org", "--name", "a"]);
    epode(&folder, &["cert", "new", "user01@example.org", "--name", "b"]);
    let ask = |what: &str, file: &str| tool(&folder, "openssl", &["x509", "-in", file, "-noout", what]);
    assert_ne!(ask("-serial", "a.crt"), ask("-serial", "b.crt"));
    assert_ne!(ask("-pubkey", "a.crt"), ask("-pubkey", "b.crt"));
}

#[test]
fn an_address_beyond_ascii_is_neither_lost_nor_encoded_twice() {
    let folder = Folder::new("unicode");
    epode(&folder, &["cert", "new", "jürgen@bücher.example"]);
    assert_eq!(
        oid_of_xmpp_addr(&folder, "jürgen.crt"),
        "UTF8STRING :jürgen@bücher.example"
    );
    let (exit, shown) = epode_with(&folder, &["cert", "show", "jürgen.p12", "--json"], Some(PASSPHRASE));
    assert_eq!(exit, 0, "{shown}");
    assert_eq!(json(&shown)["xmpp_addresses"][0]["account"], "jürgen@bücher.example");
    // A letter beyond U+FFFF does not fit into the name that PKCS#12 gives an entry.
    epode(&folder, &["cert", "new", "𐍈@example.org", "--name", "gothic"]);
    tool(
        &folder,
        "openssl",
        &[
            "pkcs12",
            "-in",
            "gothic.p12",
            "-noout",
            "-passin",
            "env:EPODE_CERT_PASSPHRASE",
        ],
    );
}

#[test]
fn openssl_java_and_nss_open_the_pkcs12_file() {
    for legacy in [false, true] {
        let folder = Folder::new(if legacy { "p12-legacy" } else { "p12" });
        epode(&folder, &["cert", "ca"]);
        let mut new = vec![
            "cert",
            "new",
            "user01@example.org",
            "--ca",
            "ca.crt",
            "--ca-key",
            "ca.key",
        ];
        new.extend(legacy.then_some("--legacy"));
        epode(&folder, &new);

        let mut read = vec![
            "pkcs12",
            "-in",
            "user01.p12",
            "-info",
            "-nodes",
            "-passin",
            "env:EPODE_CERT_PASSPHRASE",
        ];
        // OpenSSL 3 keeps what only old files need in a provider of its own.
        read.extend(legacy.then_some("-legacy"));
        let text = tool(&folder, "openssl", &read);
        let lock = if legacy {
            "pbeWithSHA1And3-KeyTripleDES-CBC"
        } else {
            "AES-256-CBC"
        };
        let mac = if legacy { "MAC: sha1" } else { "MAC: sha256" };
        for word in [
            lock,
            mac,
            "friendlyName: user01@example.org",
            "BEGIN CERTIFICATE",
            "BEGIN PRIVATE KEY",
        ] {
            assert!(text.contains(word), "no {word} in\n{text}");
        }
        // Nothing in it is locked the other way.
        assert_eq!(text.contains("KeyTripleDES"), legacy, "{text}");
        assert_eq!(
            text.matches("BEGIN CERTIFICATE").count(),
            2,
            "the authority's certificate belongs in the file too:\n{text}"
        );

        let text = tool(
            &folder,
            "keytool",
            &[
                "-list",
                "-v",
                "-storetype",
                "PKCS12",
                "-keystore",
                "user01.p12",
                "-storepass:env",
                "EPODE_CERT_PASSPHRASE",
            ],
        );
        for word in ["user01@example.org", "PrivateKeyEntry", "Certificate chain length: 2"] {
            assert!(text.contains(word), "no {word} in\n{text}");
        }

        fs::write(folder.path("passphrase"), PASSPHRASE).unwrap();
        let text = tool(&folder, "pk12util", &["-l", "user01.p12", "-w", "passphrase"]);
        for word in ["Key(shrouded)", "Certificate(has private key)", "user01@example.org"] {
            assert!(text.contains(word), "no {word} in\n{text}");
        }
        // Listing is not importing: a browser's own store takes it.
        fs::write(folder.path("none"), "").unwrap();
        fs::create_dir(folder.path("nss")).unwrap();
        tool(&folder, "certutil", &["-N", "-d", "sql:nss", "-f", "none"]);
        tool(
            &folder,
            "pk12util",
            &["-i", "user01.p12", "-d", "sql:nss", "-k", "none", "-w", "passphrase"],
        );
        let text = tool(&folder, "certutil", &["-K", "-d", "sql:nss", "-f", "none"]);
        assert!(text.contains("user01@example.org"), "{text}");

        let (exit, shown) = epode_with(&folder, &["cert", "show", "user01.p12"], Some(PASSPHRASE));
        assert_eq!(exit, 0, "{shown}");
        assert!(
            shown.contains("belongs to it") && shown.contains("1 more certificate(s) in the file"),
            "{shown}"
        );
    }
}

#[test]
fn an_authority_signs_whatever_the_form_of_its_key() {
    let folder = Folder::new("ca");
    epode(&folder, &["cert", "ca", "--title", "Example clients"]);
    let keys: [(&str, &[&str]); 5] = [
        ("own", &[]),
        (
            "sec1",
            &[
                "ecparam",
                "-name",
                "prime256v1",
                "-genkey",
                "-noout",
                "-out",
                "sec1.key",
            ],
        ),
        (
            "p384",
            &[
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:P-384",
                "-out",
                "p384.key",
            ],
        ),
        ("rsa", &["genrsa", "-traditional", "-out", "rsa.key", "2048"]),
        ("ed25519", &["genpkey", "-algorithm", "ed25519", "-out", "ed25519.key"]),
    ];
    for (name, command) in keys {
        let (certificate, key) = if command.is_empty() {
            ("ca.crt".to_string(), "ca.key".to_string())
        } else {
            tool(&folder, "openssl", command);
            let (certificate, key) = (format!("{name}.crt"), format!("{name}.key"));
            tool(
                &folder,
                "openssl",
                &[
                    "req",
                    "-x509",
                    "-new",
                    "-key",
                    &key,
                    "-subj",
                    "/CN=A CA",
                    "-addext",
                    "keyUsage=critical,keyCertSign",
                    "-days",
                    "9",
                    "-out",
                    &certificate,
                ],
            );
            (certificate, key)
        };
        let client = format!("client-{name}");
        let said = epode(
            &folder,
            &[
                "cert",
                "new",
                "user01@example.org",
                "--ca",
                &certificate,
                "--ca-key",
                &key,
                "--name",
                &client,
            ],
        );
        let file = format!("{client}.crt");
        tool(
            &folder,
            "openssl",
            &[
                "verify",
                "-x509_strict",
                "-CAfile",
                &certificate,
                "-purpose",
                "sslclient",
                &file,
            ],
        );
        // Nothing is valid longer than its authority.
        assert_eq!(said.contains("no longer than its authority"), name != "own", "{said}");
        let (exit, shown) = epode_with(
            &folder,
            &["cert", "show", &file, "--key", &format!("{client}.key")],
            None,
        );
        assert_eq!(exit, 0, "{shown}");
    }
}

#[test]
fn what_cannot_sign_is_refused_in_words() {
    let folder = Folder::new("bad-ca");
    epode(&folder, &["cert", "ca"]);
    epode(&folder, &["cert", "ca", "--name", "other"]);
    epode(&folder, &["cert", "new", "leaf@example.org"]);
    let sign = |ca: &str, key: &str| {
        epode_with(
            &folder,
            &["cert", "new", "user01@example.org", "--ca", ca, "--ca-key", key],
            Some(PASSPHRASE),
        )
    };
    for (ca, key, word) in [
        ("leaf.crt", "leaf.key", "not that of an authority"),
        ("ca.crt", "other.key", "does not belong"),
        ("ca.crt", "ca.crt", "holds no private key"),
        ("nowhere.crt", "ca.key", "nowhere.crt cannot be read: no such file"),
    ] {
        let (exit, said) = sign(ca, key);
        assert_eq!(exit, 2, "{said}");
        assert!(said.contains(word), "{said}");
        assert!(!folder.path("user01.crt").exists());
    }
    tool(
        &folder,
        "openssl",
        &[
            "pkey",
            "-in",
            "ca.key",
            "-aes256",
            "-passout",
            "pass:secret",
            "-out",
            "locked.key",
        ],
    );
    let (exit, said) = sign("ca.crt", "locked.key");
    assert_eq!(exit, 2);
    assert!(said.contains("is encrypted"), "{said}");
    let (exit, said) = epode_with(
        &folder,
        &["cert", "new", "user01@example.org", "--ca", "ca.crt"],
        Some(PASSPHRASE),
    );
    assert_eq!(exit, 2);
    assert!(said.contains("--ca-key"), "{said}");
}

#[test]
fn the_pass_phrase_may_not_be_empty_and_is_never_shown() {
    let folder = Folder::new("passphrase");
    let (exit, said) = epode_with(&folder, &["cert", "new", "user01@example.org"], Some(""));
    assert_eq!(exit, 2);
    assert!(said.contains("empty pass phrase"), "{said}");
    assert!(!folder.path("user01.p12").exists() && !folder.path("user01.key").exists());

    // There is no option that would put it on the command line, where every user of the machine reads it.
    for option in ["--passphrase", "--password", "--pass"] {
        let (exit, _) = epode_with(
            &folder,
            &["cert", "new", "user01@example.org", option, "x"],
            Some(PASSPHRASE),
        );
        assert_eq!(exit, 2, "{option} is accepted");
    }
    let said = epode(&folder, &["cert", "new", "user01@example.org"]);
    assert!(!said.contains(PASSPHRASE));
    for file in ["user01.crt", "user01.key", "user01.p12"] {
        let octets = fs::read(folder.path(file)).unwrap();
        assert!(
            !octets
                .windows(PASSPHRASE.len())
                .any(|window| window == PASSPHRASE.as_bytes()),
            "{file} holds it"
        );
    }

    let (exit, said) = epode_with(&folder, &["cert", "show", "user01.p12"], Some("a wrong one"));
    assert_eq!(exit, 2);
    assert!(said.contains("the pass phrase does not open user01.p12"), "{said}");
    assert!(!said.contains("a wrong one"));
    // Without a terminal and without the variable, it says what to set; it does not wait.
    let (exit, said) = epode_with(&folder, &["cert", "show", "user01.p12"], None);
    assert_eq!(exit, 2);
    assert!(said.contains("EPODE_CERT_PASSPHRASE"), "{said}");
}

#[cfg(unix)]
#[test]
fn private_keys_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("mode");
    let mode = |file: &str| fs::metadata(folder.path(file)).unwrap().permissions().mode() & 0o777;
    fs::create_dir(folder.path("certs")).unwrap();
    // An older file with wide permissions does not pass them on.
    fs::write(folder.path("certs/user01.key"), "").unwrap();
    fs::set_permissions(folder.path("certs/user01.key"), fs::Permissions::from_mode(0o666)).unwrap();
    epode(
        &folder,
        &["cert", "new", "user01@example.org", "--out", "certs", "--force"],
    );
    epode(&folder, &["cert", "ca", "--out", "certs"]);
    for file in ["certs/user01.key", "certs/user01.p12", "certs/ca.key"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
}

#[test]
fn files_are_replaced_only_by_force() {
    let folder = Folder::new("force");
    epode(&folder, &["cert", "new", "user01@example.org", "--out", "deep/er"]);
    let before = fs::read(folder.path("deep/er/user01.key")).unwrap();
    fs::remove_file(folder.path("deep/er/user01.crt")).unwrap();
    let again = ["cert", "new", "user01@example.org", "--out", "deep/er"];
    let (exit, said) = epode_with(&folder, &again, Some(PASSPHRASE));
    assert_eq!(exit, 2);
    assert!(
        said.contains("user01.key is already there") && said.contains("--force"),
        "{said}"
    );
    assert_eq!(fs::read(folder.path("deep/er/user01.key")).unwrap(), before);
    assert!(
        !folder.path("deep/er/user01.crt").exists(),
        "half of the files were written"
    );
    epode(
        &folder,
        &["cert", "new", "user01@example.org", "--out", "deep/er", "--force"],
    );
    assert_ne!(fs::read(folder.path("deep/er/user01.key")).unwrap(), before);
}

#[test]
fn an_address_that_is_none_is_refused_with_its_reason() {
    let folder = Folder::new("jid");
    for (address, word) in [
        ("user01@example.org/phone", "leave out '/phone'"),
        ("example.org", "address of a server"),
        ("@example.org", "the part before '@' is empty"),
        ("us er@example.org", "may not contain a space"),
    ] {
        let (exit, said) = epode_with(&folder, &["cert", "new", address], Some(PASSPHRASE));
        assert_eq!(exit, 2, "{said}");
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn show_finds_what_is_wrong() {
    let folder = Folder::new("show");
    let good = "otherName.1=1.3.6.1.5.5.7.8.5;FORMAT:UTF8,UTF8:user01@example.org";
    let client = "extendedKeyUsage=clientAuth";
    folder.make_ca();
    for (name, san, usage, from, to, problem) in [
        ("good", good, client, "20200101000000Z", "20500101000000Z", None),
        (
            "expired",
            good,
            client,
            "20200101000000Z",
            "20210101000000Z",
            Some("expired"),
        ),
        (
            "notyet",
            good,
            client,
            "20490101000000Z",
            "20500101000000Z",
            Some("not-yet-valid"),
        ),
        (
            "none",
            "DNS:example.org",
            client,
            "20200101000000Z",
            "20500101000000Z",
            Some("no-xmpp-address"),
        ),
        (
            "ia5",
            "otherName.1=1.3.6.1.5.5.7.8.5;IA5STRING:user01@example.org",
            client,
            "20200101000000Z",
            "20500101000000Z",
            Some("wrong-string-type"),
        ),
        (
            "notajid",
            "otherName.1=1.3.6.1.5.5.7.8.5;UTF8:user 01@example.org",
            client,
            "20200101000000Z",
            "20500101000000Z",
            Some("not-a-jid"),
        ),
        (
            "server",
            "otherName.1=1.3.6.1.5.5.7.8.5;UTF8:example.org",
            client,
            "20200101000000Z",
            "20500101000000Z",
            Some("not-an-account"),
        ),
        (
            "serverauth",
            good,
            "extendedKeyUsage=serverAuth",
            "20200101000000Z",
            "20500101000000Z",
            Some("not-for-clients"),
        ),
        (
            "encipher",
            good,
            "keyUsage=keyEncipherment",
            "20200101000000Z",
            "20500101000000Z",
            Some("may-not-sign"),
        ),
        // RFC 5280 §4.2.1.12: no restriction. Said, but not wrong.
        ("noeku", good, "", "20200101000000Z", "20500101000000Z", None),
        (
            "fulljid",
            "otherName.1=1.3.6.1.5.5.7.8.5;UTF8:user01@example.org/x",
            client,
            "20200101000000Z",
            "20500101000000Z",
            None,
        ),
    ] {
        folder.sign(name, san, usage, from, to);
        let file = format!("{name}.crt");
        let (exit, said) = epode_with(&folder, &["cert", "show", &file, "--json"], None);
        let said = json(&said);
        let codes: Vec<&str> = said["problems"]
            .as_array()
            .unwrap()
            .iter()
            .map(|problem| problem["code"].as_str().unwrap())
            .collect();
        assert_eq!(codes, problem.into_iter().collect::<Vec<_>>(), "{name}: {said}");
        assert_eq!(exit, i32::from(problem.is_some()), "{name}");
        // People are told the same, without colours, as this is no terminal.
        let (exit, text) = epode_with(&folder, &["cert", "show", &file], None);
        assert_eq!(exit, i32::from(problem.is_some()), "{name}: {text}");
        assert_eq!(text.contains("wrong: "), problem.is_some(), "{name}: {text}");
        assert!(!text.contains('\x1b'), "{text:?}");
        assert_eq!(
            text.contains("no extendedKeyUsage"),
            matches!(name, "noeku" | "encipher"),
            "{text}"
        );
    }

    let (exit, text) = epode_with(&folder, &["cert", "show", "good.crt", "--key", "good.key"], None);
    assert_eq!(exit, 0, "{text}");
    assert!(text.contains("belongs to it"), "{text}");
    let (exit, text) = epode_with(&folder, &["cert", "show", "good.crt", "--key", "none.key"], None);
    assert_eq!(exit, 1);
    assert!(
        text.contains("wrong: the private key does not belong to this certificate"),
        "{text}"
    );

    // The same certificate as DER, its fingerprint as openssl counts it.
    tool(
        &folder,
        "openssl",
        &["x509", "-in", "good.crt", "-outform", "DER", "-out", "good.der"],
    );
    let (exit, text) = epode_with(&folder, &["cert", "show", "good.der"], None);
    assert_eq!(exit, 0, "{text}");
    let counted = tool(
        &folder,
        "openssl",
        &["x509", "-in", "good.crt", "-noout", "-fingerprint", "-sha256"],
    );
    assert!(text.contains(counted.trim().split('=').next_back().unwrap()), "{text}");

    // PKCS#12 as openssl makes it, old and new.
    for how in [vec![], vec!["-legacy"]] {
        let mut export = vec![
            "pkcs12",
            "-export",
            "-in",
            "good.crt",
            "-inkey",
            "good.key",
            "-certfile",
            "testca.crt",
        ];
        export.extend(["-passout", "env:EPODE_CERT_PASSPHRASE", "-out", "good.p12"]);
        export.extend(how);
        tool(&folder, "openssl", &export);
        let (exit, text) = epode_with(&folder, &["cert", "show", "good.p12"], Some(PASSPHRASE));
        assert_eq!(exit, 0, "{text}");
        assert!(
            text.contains("user01@example.org") && text.contains("belongs to it"),
            "{text}"
        );
    }

    // Several things at once: all are named, and a key that is too small for TLS here does not hide the rest.
    let mut weak = vec![
        "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-keyout", "weak.key", "-out", "weak.crt", "-subj", "/CN=x",
    ];
    weak.extend([
        "-addext",
        "subjectAltName=otherName:1.3.6.1.5.5.7.8.5;IA5STRING:a b@example.org",
    ]);
    tool(&folder, "openssl", &weak);
    let (exit, text) = epode_with(
        &folder,
        &["cert", "show", "weak.crt", "--key", "weak.key", "--json"],
        None,
    );
    assert_eq!(exit, 1, "{text}");
    for code in ["wrong-string-type", "not-a-jid", "small-key", "unusable-key"] {
        assert!(text.contains(&format!("\"code\":\"{code}\"")), "no {code} in {text}");
    }

    let (exit, text) = epode_with(&folder, &["cert", "show", "testca.crt"], None);
    assert_eq!(exit, 0, "an authority is not blamed for naming no account: {text}");
    assert!(text.contains("a certificate authority"), "{text}");
}

#[test]
fn show_lets_no_certificate_steer_the_terminal() {
    let folder = Folder::new("steer");
    folder.make_ca();
    folder.sign(
        "steer",
        "otherName.1=1.3.6.1.5.5.7.8.5;FORMAT:UTF8,UTF8:a\x1b[2J@example.org",
        "",
        "20200101000000Z",
        "20500101000000Z",
    );
    for form in [
        &["cert", "show", "steer.crt"][..],
        &["cert", "show", "steer.crt", "--json"],
    ] {
        let (exit, text) = epode_with(&folder, form, None);
        assert_eq!(exit, 1);
        assert!(!text.contains('\x1b'), "{text:?}");
    }
}

#[test]
fn what_is_no_certificate_is_refused_in_words() {
    let folder = Folder::new("garbage");
    fs::write(folder.path("text"), "hello").unwrap();
    fs::write(
        folder.path("broken.pem"),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    fs::write(folder.path("broken.p12"), [0x30, 0x80, 2, 1, 3, 0, 0]).unwrap();
    fs::write(folder.path("empty"), "").unwrap();
    for (file, word) in [
        ("text", "not a certificate"),
        ("broken.pem", "damaged"),
        ("broken.p12", "cannot be read as PKCS#12"),
        ("empty", "not a certificate"),
        ("absent", "no such file"),
    ] {
        let (exit, said) = epode_with(&folder, &["cert", "show", file], Some(PASSPHRASE));
        assert_eq!(exit, 2, "{said}");
        assert!(said.contains(word), "{said}");
        assert!(said.starts_with("epode: "), "{said}");
    }
}

#[test]
fn help_teaches_and_a_mistake_has_its_status() {
    let folder = Folder::new("help");
    let (exit, said) = epode_with(&folder, &["cert", "new", "--help"], None);
    assert_eq!(exit, 0);
    assert!(
        said.contains("epode cert new user01@example.org --ca ca.crt --ca-key ca.key"),
        "{said}"
    );
    let (exit, said) = epode_with(&folder, &["--help"], None);
    assert_eq!(exit, 0);
    assert!(said.contains("130  interrupted"), "{said}");
    fs::write(folder.path("file"), "").unwrap();
    for mistake in [
        &["cert"][..],
        &["nonsense"],
        &["cert", "new"],
        &["cert", "new", "a@b.example", "--days", "0"],
        &["cert", "new", "a@b.example", "--days", "abc"],
        &["cert", "ca", "--out", "file"],
    ] {
        assert_eq!(epode_with(&folder, mistake, None).0, 2, "{mistake:?}");
    }
}

#[test]
fn what_the_demo_makes_in_memory_holds_for_a_server_too() {
    use epode_program::pki::{Validity, make_ca, make_client_cert, make_server_cert};
    let folder = Folder::new("memory");
    let (authority, root) = make_ca("Demo", Validity::days(1)).unwrap();
    let server = make_server_cert(
        &authority,
        &["localhost"],
        &["127.0.0.1".parse().unwrap()],
        Validity::days(9),
    )
    .unwrap();
    let account = epode::jid::BareJid::parse("user01@localhost").unwrap();
    let client = make_client_cert(Some(&authority), &account, Validity::days(1)).unwrap();
    assert_eq!(
        server.validity.not_after,
        authority.validity().not_after,
        "valid longer than its authority"
    );
    for (file, issued) in [("root.crt", &root), ("server.crt", &server), ("client.crt", &client)] {
        fs::write(folder.path(file), issued.certificate_pem()).unwrap();
    }
    let verify = ["verify", "-x509_strict", "-CAfile", "root.crt", "-purpose"];
    let server = [
        "sslserver",
        "-verify_hostname",
        "localhost",
        "-verify_ip",
        "127.0.0.1",
        "server.crt",
    ];
    tool(&folder, "openssl", &[&verify[..], &server].concat());
    tool(
        &folder,
        "openssl",
        &[&verify[..], &["sslclient", "client.crt"]].concat(),
    );
    fails(
        &folder,
        "openssl",
        &[&verify[..], &["sslserver", "client.crt"]].concat(),
    );
    assert!(
        !format!("{client:?} {authority:?}").contains("48, 129"),
        "a key is shown"
    );
}
