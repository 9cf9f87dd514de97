//! `epode login --record` and `epode replay`: what a log holds, and what a replay says.

use crate::world::{PASSWORD, World, epode, err, objects, out};

#[test]
fn a_recorded_login_replays_over_every_transport_without_the_password() {
    let world = World::new("record", |_| {});
    for (index, (way, transport)) in world.ways().into_iter().enumerate() {
        let file = world.file(&format!("{index}.jsonl"));
        let output = world.by_password(&way, &["--record", &file]);
        assert_eq!(output.status.code(), Some(0), "{way:?}: {}", err(&output));
        assert!(
            err(&output).contains(&file) && err(&output).contains("epode replay"),
            "{}",
            err(&output)
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{mode:o}");
        }
        let log = std::fs::read_to_string(&file).unwrap();
        // Of the proofs, `p=` and `v=` begin at a place that base64 does not move.
        for secret in [PASSWORD, "LHA9", ">dj1", ">dj0"] {
            assert!(!log.contains(secret), "{way:?}: {secret} in {log}");
        }
        assert!(
            log.contains("*client-proof**") && log.contains("*server-proof**"),
            "{log}"
        );
        let token = if transport == "BOSH" {
            "session-id"
        } else {
            "resumption-id"
        };
        assert!(log.contains(&format!("*{token}*")), "{way:?}: {log}");

        let output = epode(&["replay", &file]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
        assert!(out(&output).starts_with("the same\n"), "{}", out(&output));
        for left_out in [
            "left out: the client's proof of the password, once (EPODE_PASSWORD would give it)",
            "left out: the server's proof of the password, once (EPODE_PASSWORD would give it)",
        ] {
            assert!(out(&output).contains(left_out), "{}", out(&output));
        }

        let output = epode(&["replay", &file, "--json"])
            .env("EPODE_PASSWORD", PASSWORD)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
        let said = &objects(&output)[0];
        assert_eq!((&said["event"], &said["same"]), (&"replayed".into(), &true.into()));
        assert_eq!(
            said["computed"],
            serde_json::json!({ "client-proof": 1, "server-proof": 1 })
        );
        assert!(said["left_out"][token].as_u64().unwrap() > 0, "{said}");
        assert!(
            said["outputs"].as_u64().unwrap() > 5 && said["bytes"].as_u64().unwrap() > 500,
            "{said}"
        );
        assert!(said["difference"].is_null() && said["status"] == 0, "{said}");
    }
}

#[test]
fn plain_leaves_nothing_but_a_length() {
    let world = World::new("record-plain", |settings| {
        settings.mechanisms = Some(vec!["PLAIN".into()])
    });
    let file = world.file("plain.jsonl");
    let (way, _) = &world.ways()[0];
    let output = world.by_password(way, &["--allow-plain", "--record", &file]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let log = std::fs::read_to_string(&file).unwrap();
    assert!(log.contains(">*password***"), "{log}");
    // base64 of "\0user01\0"
    assert!(!log.contains(PASSWORD) && !log.contains("AHVzZXIwMQB"), "{log}");
    for password in [None, Some(PASSWORD)] {
        let mut command = epode(&["replay", &file]);
        if let Some(password) = password {
            command.env("EPODE_PASSWORD", password);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
    }
}

#[test]
fn a_login_by_certificate_leaves_out_its_session_alone() {
    let world = World::new("record-certificate", |_| {});
    let file = world.file("external.jsonl");
    let output = world.login("user01", &["--once", "--record", &file]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let output = epode(&["replay", &file, "--json"]).output().unwrap();
    let said = &objects(&output)[0];
    assert_eq!(said["same"], true, "{said}");
    let left_out: Vec<_> = said["left_out"].as_object().unwrap().keys().collect();
    assert_eq!(left_out, ["session-id"]);
}

#[test]
fn a_difference_is_shown_with_its_line() {
    let world = World::new("record-changed", |_| {});
    let file = world.file("changed.jsonl");
    let (way, _) = &world.ways()[2];
    world.by_password(way, &["--record", &file]);
    let log = std::fs::read_to_string(&file).unwrap();
    let wrong = log.replacen("<open xmlns=", "<open xmlnx=", 1);
    assert_ne!(log, wrong);
    let line = 1 + wrong.lines().position(|line| line.contains("xmlnx")).unwrap();
    std::fs::write(&file, &wrong).unwrap();
    let output = epode(&["replay", &file]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}{}", out(&output), err(&output));
    let text = out(&output);
    assert!(text.starts_with(&format!("line {line} differs\n")), "{text}");
    assert!(
        text.contains("  expected  ") && text.contains("xmlnx=") && text.contains("  got       "),
        "{text}"
    );

    let output = epode(&["replay", &file, "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = &objects(&output)[0];
    assert_eq!((&said["same"], &said["status"]), (&false.into(), &1.into()));
    assert_eq!(said["difference"]["line"], line);
    assert!(said["difference"]["got"].as_str().unwrap().contains("xmlns="), "{said}");

    // A log that stops in the middle has outputs that nobody expects.
    let cut = log.lines().take(line - 1).collect::<Vec<_>>().join("\n");
    std::fs::write(&file, cut).unwrap();
    let output = epode(&["replay", &file]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(out(&output).contains("  expected  nothing more\n"), "{}", out(&output));
}

#[test]
fn what_is_no_log_is_status_2_and_a_log_is_never_overwritten() {
    let world = World::new("record-wrong", |_| {});
    let file = world.file("ca.crt");
    let output = epode(&["replay", &file]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    assert!(err(&output).contains(&file), "{}", err(&output));
    let (way, _) = &world.ways()[0];
    let output = world.by_password(way, &["--record", &file]);
    assert_eq!(output.status.code(), Some(2), "{}", err(&output));
    assert!(err(&output).contains("never overwritten"), "{}", err(&output));
}
