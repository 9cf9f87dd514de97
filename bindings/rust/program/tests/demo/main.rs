//! The built program, run as a user runs it: the demo, logins that work and logins that do not, and what they leave behind.

#[cfg(test)]
mod authentication;
#[cfg(test)]
mod enrol;
#[cfg(test)]
mod probe;
#[cfg(test)]
mod record;
#[cfg(test)]
mod transports;
#[cfg(test)]
mod world;

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use crate::world::{PASSWORD, World, epode, err, out, run};

    /// A session id of eight characters or more is a bearer token.
    fn shows_no_session_id(text: &str) {
        for value in text.split("sid='").skip(1) {
            let value = value.split('\'').next().unwrap();
            assert!(
                value.chars().count() == 5 && value.ends_with('…'),
                "a session id is shown: {value}"
            );
        }
    }

    #[test]
    fn the_demo_shows_a_login_by_certificate_and_a_message() {
        let started = Instant::now();
        let output = run(&["demo"]);
        let text = out(&output);
        assert_eq!(output.status.code(), Some(0), "{text}{}", err(&output));
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        for expected in [
            "mechanism='EXTERNAL'",
            "<mechanism>EXTERNAL</mechanism>",
            "-->  asks for a BOSH session",
            "<success ",
            "xmpp:restart='true'",
            "online: the address is user01@localhost/",
            "-->  a message to user02@localhost/",
            "it arrived at user02",
            "<body>Hello! This came without a password.</body>",
            "says goodbye",
            "<--  the session is over",
            "mechanism     EXTERNAL",
            "identity      user01@localhost/",
            "round trips",
            "milliseconds",
            "TCP, STARTTLS    EXTERNAL, ",
            "TCP, direct TLS  EXTERNAL, ",
            "WebSocket        EXTERNAL, ",
            "BOSH             EXTERNAL, ",
            "150 messages over 15 cut connections: none lost, none twice, all in order",
        ] {
            assert!(text.contains(expected), "{expected:?} is missing in:\n{text}");
        }
        let counted = "50 sent, 5 cuts, 50 received in order, 50 acknowledged; 0 lost, 0 twice";
        assert_eq!(text.matches(counted).count(), 3, "{text}");
        assert_eq!(text.matches("resumed 5 times (XEP-0198)").count(), 2, "{text}");
        shows_no_session_id(&text);
        assert!(!text.contains('\x1b'), "colours although stdout is no terminal");
        assert!(!text.contains("<xmpp"), "{text}");
    }

    #[test]
    fn the_demo_shows_a_login_by_password_without_the_password() {
        let output = run(&["demo", "--password", "--plain"]);
        let text = out(&output);
        assert_eq!(output.status.code(), Some(0), "{text}{}", err(&output));
        assert!(
            text.contains("mechanism='SCRAM-SHA-") && text.contains("[not shown]"),
            "{text}"
        );
        assert!(
            text.contains("the server proved that it knows the password too"),
            "{text}"
        );
        assert!(text.contains("it did not ask for a client certificate"), "{text}");
        shows_no_session_id(&text);
        for element in ["auth", "challenge", "response", "success"] {
            for shown in text.split(&format!("<{element} ")).skip(1) {
                let payload = shown.split_once('>').unwrap().1.split('<').next().unwrap();
                assert!(
                    payload == "[not shown]" || payload.trim().is_empty(),
                    "<{element}/> shows {payload}"
                );
            }
        }
    }

    #[test]
    fn the_demo_shows_two_factors() {
        let output = run(&["demo", "--both"]);
        let text = out(&output);
        assert_eq!(output.status.code(), Some(0), "{text}{}", err(&output));
        assert!(
            text.contains("was shown ours")
                && text.contains("mechanism     SCRAM-SHA-")
                && text.contains("; the client certificate was presented too)"),
            "{text}"
        );
        shows_no_session_id(&text);
    }

    #[test]
    fn wrong_usage_is_status_2() {
        for args in [
            &["demo", "--password", "--both"][..],
            &["login", "user01@localhost", "--port", "5222"],
            &["login", "user01@localhost", "--bosh", "https://h/", "--ws", "wss://h/"],
            &["login", "user01@localhost", "--host", "https://h/"],
            &["probe", "user01@localhost"],
            &["replay", "/nonexistent/login.jsonl"],
            &["login", "@", "--bosh", "https://h/"],
            &[
                "login",
                "user01@localhost",
                "--bosh",
                "https://h/",
                "--cert",
                "/nonexistent/user01.p12",
            ],
            &[
                "login",
                "user01@localhost",
                "--bosh",
                "http://192.0.2.1/http-bind",
                "--once",
            ],
            &["send", "user02@localhost", "hello", "--bosh", "https://h/"],
            &["send", "user02@localhost", "", "--bosh", "https://h/"],
            &["login", "user01@localhost", "--bosh", "https://user:pw@h/"],
            &["login", "user01@localhost", "--bosh", "https://h:99999/"],
            &["login", "user01@localhost", "--bosh", "https://h/", "--password", "x"],
            &["sing"],
        ] {
            let output = epode(args).env("EPODE_PASSWORD", "x").output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{args:?}: {}", err(&output));
            assert!(
                err(&output).len() > 20 && !err(&output).contains("Err("),
                "{args:?}: {}",
                err(&output)
            );
        }
    }

    #[test]
    fn login_once_prints_a_summary_or_json() {
        let world = World::new("once", |_| {});
        let output = world.login("user01", &["--once"]);
        let text = out(&output);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        assert!(
            text.contains("mechanism     EXTERNAL") && text.contains("identity      user01@localhost/"),
            "{text}"
        );

        let output = world.login("user01", &["--once", "--json"]);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        let lines: Vec<serde_json::Value> = out(&output)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            (&lines[0]["event"], &lines[0]["mechanism"]),
            (&"online".into(), &"EXTERNAL".into())
        );
        assert!(lines[0]["jid"].as_str().unwrap().starts_with("user01@localhost/"));
        assert_eq!(lines[0]["client_certificate_requested"], true);
        let last = lines.last().unwrap();
        assert_eq!((&last["event"], &last["status"]), (&"offline".into(), &0.into()));
        assert_eq!(world.server.violations(), [""; 0]);
    }

    #[test]
    fn login_by_password_works_and_a_wrong_one_is_status_5() {
        let world = World::new("password", |_| {});
        let output = world.login_by_password(PASSWORD);
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        assert!(out(&output).contains("mechanism     SCRAM-SHA-"), "{}", out(&output));
        let output = world.login_by_password("another");
        assert_eq!(output.status.code(), Some(5));
        assert!(
            err(&output).starts_with("epode: the server refused the login by SCRAM-SHA-"),
            "{}",
            err(&output)
        );
        assert!(
            err(&output).contains("; the name or the password is wrong"),
            "{}",
            err(&output)
        );
        assert!(!err(&output).contains("another") && out(&output).is_empty());
        assert_eq!(world.server.statistics().refusals, 1);
    }

    #[test]
    fn a_server_without_external_is_explained() {
        let world = World::new("mechanisms", |settings| {
            settings.ask_client_certificate = false;
            settings.mechanisms = Some(vec!["SCRAM-SHA-1".into(), "PLAIN".into()]);
        });
        let output = world.login("user01", &["--once"]);
        assert_eq!(output.status.code(), Some(5));
        let expected = "epode: the server does not offer EXTERNAL: it offers SCRAM-SHA-1, PLAIN; a server that asks for client \
                        certificates on this port is needed\n";
        assert_eq!(err(&output), expected);
    }

    #[test]
    fn a_certificate_of_another_authority_is_refused_with_status_5() {
        let world = World::new("stranger", |_| {});
        let output = world.login("stranger", &["--once"]);
        assert_eq!(output.status.code(), Some(5), "{}", err(&output));
        assert!(err(&output).contains("EXTERNAL"), "{}", err(&output));
    }

    #[test]
    fn nobody_there_is_status_3() {
        let world = World::new("nobody", |_| {});
        // Taken and let go again, so that nobody listens there.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let url = format!("https://localhost:{port}/http-bind");
        let output = epode(&[
            "login",
            "user01@localhost",
            "--once",
            "--bosh",
            &url,
            "--ca",
            &world.file("ca.crt"),
        ])
        .args(["--cert", &world.file("user01.crt"), "--key", &world.file("user01.key")])
        .output()
        .unwrap();
        assert_eq!(output.status.code(), Some(3), "{}", err(&output));
        let expected = format!("epode: localhost:{port}: nobody listens");
        assert!(err(&output).starts_with(&expected), "{}", err(&output));
        assert!(err(&output).contains("connection refused"), "{}", err(&output));
    }

    #[test]
    fn a_server_that_is_not_trusted_is_status_4() {
        let world = World::new("untrusted", |_| {});
        let output = epode(&[
            "login",
            "user01@localhost",
            "--once",
            "--bosh",
            &world.server.bosh_url(),
        ])
        .args(["--ca", &world.file("other-ca.crt")])
        .args(["--cert", &world.file("user01.crt"), "--key", &world.file("user01.key")])
        .output()
        .unwrap();
        assert_eq!(output.status.code(), Some(4), "{}", err(&output));
        assert!(
            err(&output).contains("none of the authorities that are trusted here"),
            "{}",
            err(&output)
        );
        assert_eq!(world.server.statistics().requests, 0);
    }

    #[cfg(unix)]
    fn interrupt(child: &std::process::Child) {
        assert!(
            Command::new("kill")
                .args(["-INT", &child.id().to_string()])
                .status()
                .unwrap()
                .success()
        );
    }

    #[cfg(unix)]
    #[test]
    fn login_stays_until_ctrl_c_and_prints_what_send_sends() {
        let world = World::new("send", |_| {});
        let mut child = world
            .with_certificate(&["login", "user02@localhost"], "user02", &["--json"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = || -> serde_json::Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
        let online = next();
        assert_eq!(online["event"], "online");
        let to = online["jid"].as_str().unwrap().to_owned();

        let output = world
            .with_certificate(&["send", &to, "See you at <noon>"], "user01", &[])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        assert_eq!(out(&output), format!("sent to {to}\n"));
        let message = next();
        assert_eq!(
            (&message["event"], &message["body"]),
            (&"message".into(), &"See you at <noon>".into())
        );
        assert!(message["from"].as_str().unwrap().starts_with("user01@localhost/"));

        interrupt(&child);
        assert_eq!(next()["event"], "offline");
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert_eq!(world.server.violations(), [""; 0]);
    }

    #[test]
    fn a_message_to_nobody_comes_back() {
        let world = World::new("bounce", |_| {});
        let output = world
            .with_certificate(&["send", "nobody@localhost", "hello"], "user01", &[])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{}{}", out(&output), err(&output));
        assert_eq!(
            err(&output),
            "epode: the message to nobody@localhost came back: service-unavailable (not online, or no such user)\n"
        );
    }

    #[test]
    fn a_failed_send_is_an_object_for_a_program() {
        let world = World::new("failed", |_| {});
        let output = world
            .with_certificate(&["send", "nobody@localhost", "hello"], "user01", &["--json"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", err(&output));
        let said: serde_json::Value = serde_json::from_str(&out(&output)).unwrap();
        assert_eq!((&said["event"], &said["status"]), (&"failed".into(), &1.into()));
        let reason = said["reason"].as_str().unwrap();
        assert!(reason.contains("came back: service-unavailable"), "{reason}");
        assert_eq!(err(&output), format!("epode: {reason}\n"));
    }

    #[test]
    fn a_password_as_an_argument_is_told_its_place() {
        let output = run(&[
            "login",
            "user01@localhost",
            "--bosh",
            "https://h/",
            "--password",
            "geheim",
        ]);
        assert_eq!(output.status.code(), Some(2));
        assert!(err(&output).contains("EPODE_PASSWORD"), "{}", err(&output));
        assert!(
            !err(&output).contains("geheim") && !err(&output).contains("tip:"),
            "{}",
            err(&output)
        );
    }

    #[test]
    fn a_port_that_does_not_speak_tls_is_status_3() {
        use std::io::{Read, Write};
        let world = World::new("plain-port", |_| {});
        let plain = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = plain.local_addr().unwrap().port();
        let answer = std::thread::spawn(move || {
            let (mut stream, _) = plain.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        });
        let url = format!("https://localhost:{port}/http-bind");
        let output = epode(&["login", "user01@localhost", "--once", "--bosh", &url])
            .args(["--ca", &world.file("ca.crt")])
            .args(["--cert", &world.file("user01.crt"), "--key", &world.file("user01.key")])
            .output()
            .unwrap();
        answer.join().unwrap();
        assert_eq!(output.status.code(), Some(3), "{}", err(&output));
        assert!(err(&output).contains("does not speak TLS"), "{}", err(&output));
    }

    #[cfg(unix)]
    #[test]
    fn ctrl_c_before_being_online_is_status_130() {
        let world = World::new("interrupted", |_| {});
        // Takes the connection and never says a word.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://localhost:{}/http-bind", silent.local_addr().unwrap().port());
        let mut child = epode(&[
            "login",
            "user01@localhost",
            "--bosh",
            &url,
            "--ca",
            &world.file("ca.crt"),
        ])
        .args(["--cert", &world.file("user01.crt"), "--key", &world.file("user01.key")])
        .spawn()
        .unwrap();
        let _accepted = silent.accept().unwrap();
        interrupt(&child);
        let started = Instant::now();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert!(started.elapsed() < Duration::from_secs(3));
    }
}
