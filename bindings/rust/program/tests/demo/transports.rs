//! `epode login` and `epode send` over every transport, found in every way, and over a connection that breaks.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use epode_devserver::{Cut, Transport};

use crate::world::{World, epode, err, name_server, objects, out};

fn with_certificate(world: &World, args: &[&str]) -> Command {
    let mut command = epode(args);
    command.args(["--ca", &world.file("ca.crt"), "--cert", &world.file("user01.crt")]);
    command.args(["--key", &world.file("user01.key")]);
    command
}

#[test]
fn login_and_send_work_over_every_transport() {
    let world = World::new("ways", |_| {});
    for (way, transport) in world.ways() {
        let output = with_certificate(&world, &["login", "user01@localhost", "--once", "--json"])
            .args(&way)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{way:?}: {}", err(&output));
        let lines = objects(&output);
        assert_eq!(lines[0]["event"], "online", "{way:?}");
        assert_eq!(lines[0]["transport"], transport, "{way:?}");
        assert_eq!(lines[0]["mechanism"], "EXTERNAL", "{way:?}");
        assert_eq!(lines[0]["resumed"], false, "{way:?}");

        let output = with_certificate(&world, &["send", "user01@localhost", "a note to myself"])
            .args(&way)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{way:?}: {}", err(&output));
        assert_eq!(out(&output), "sent to user01@localhost\n");
    }
    assert_eq!(world.server.violations(), [""; 0]);
}

#[test]
fn a_jid_is_enough_where_dns_or_host_meta_knows_the_way() {
    let world = World::new("found", |_| {});
    let by_srv = name_server(vec![(
        "_xmpps-client",
        world.server.direct_tls_address().port(),
        "xmpp.test",
    )]);
    let by_nothing = name_server(vec![("_xmpp-client", 1, "")]);
    let https = format!("localhost=127.0.0.1:{}", world.server.address().port());
    for (dns, resolve, transport) in [
        (by_srv, "xmpp.test=127.0.0.1", "TCP"),
        // The target `.`: no TCP here.
        (by_nothing, https.as_str(), "WebSocket"),
    ] {
        let output = with_certificate(&world, &["login", "user01@localhost", "--once", "--json"])
            .args(["--dns", &dns.to_string(), "--resolve", resolve])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{transport}: {}", err(&output));
        assert_eq!(objects(&output)[0]["transport"], transport);
    }
}

#[test]
fn nobody_at_host_and_port_is_named() {
    let world = World::new("nobody-tcp", |_| {});
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port().to_string()
    };
    let output = with_certificate(
        &world,
        &[
            "login",
            "user01@localhost",
            "--once",
            "--host",
            "127.0.0.1",
            "--port",
            &port,
        ],
    )
    .output()
    .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", err(&output));
    let expected = format!("epode: 127.0.0.1:{port}: nobody listens");
    assert!(err(&output).starts_with(&expected), "{}", err(&output));
}

#[cfg(unix)]
fn interrupt(child: &std::process::Child) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
}

/// A message from user02.
#[cfg(unix)]
fn write_to(world: &World, to: &str) {
    let mut command = world.with_certificate(&["send", to, "See you at noon"], "user02", &[]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
}

#[cfg(unix)]
#[test]
fn a_cut_connection_is_told_and_the_session_goes_on() {
    let world = World::new("cut", |_| {});
    for (index, transport) in [(0, Transport::StartTls), (2, Transport::WebSocket)] {
        let (way, _) = &world.ways()[index];
        let mut child = with_certificate(&world, &["login", "user01@localhost", "--json"])
            .args(way)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = || -> serde_json::Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
        let online = next();
        assert_eq!(
            (&online["event"], &online["resumed"]),
            (&"online".into(), &false.into())
        );
        // What arrives now, arrives in a session that can be resumed.
        write_to(&world, online["jid"].as_str().unwrap());
        assert_eq!(next()["event"], "message");
        assert_eq!(world.server.control().cut(transport, Cut::Reset), 1);
        let interrupted = next();
        assert_eq!(interrupted["event"], "interrupted", "{interrupted}");
        assert_eq!(interrupted["resumable"], true);
        assert!(
            interrupted["retry_in_milliseconds"].as_u64().unwrap() <= 1_000,
            "{interrupted}"
        );
        let again = next();
        assert_eq!(
            (&again["event"], &again["resumed"]),
            (&"online".into(), &true.into()),
            "{again}"
        );
        assert_eq!(again["jid"], online["jid"]);
        interrupt(&child);
        assert_eq!(next()["event"], "offline");
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    assert_eq!(world.server.statistics().resumes, 2);
}

#[cfg(unix)]
#[test]
fn a_person_reads_of_the_interruption() {
    let world = World::new("cut-told", |_| {});
    let (way, _) = &world.ways()[1];
    let mut child = with_certificate(&world, &["login", "user01@localhost"])
        .args(way)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut until = |wanted: &str| loop {
        let line = lines.next().unwrap_or_else(|| panic!("no {wanted:?}")).unwrap();
        if line.contains(wanted) {
            return line;
        }
    };
    until("Ctrl-C says goodbye");
    write_to(&world, "user01@localhost");
    until("See you at noon");
    world.server.control().cut(Transport::DirectTls, Cut::End);
    let line = until("interrupted: ");
    assert!(
        line.contains("; connecting again in ") && line.ends_with("; the session is kept"),
        "{line}"
    );
    until("online again: the session goes on, and nothing is lost");
    interrupt(&child);
    until("offline, as asked");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[cfg(unix)]
#[test]
fn who_is_kept_logged_in_goes_on_where_the_last_run_was() {
    let world = World::new("keep", |_| {});
    for index in [1, 2, 3] {
        let (way, transport) = &world.ways()[index];
        let folder = world.file(&format!("kept-{index}"));
        let login = |more: &[&str]| {
            let mut command = with_certificate(&world, &["login", "user01@localhost", "--json", "--keep", &folder]);
            command.args(way).args(more);
            command
        };
        let first = login(&["--once"]).output().unwrap();
        assert_eq!(first.status.code(), Some(0), "{transport}: {}", err(&first));
        let first = objects(&first);
        assert_eq!(
            (&first[0]["event"], &first[0]["resumed"]),
            (&"online".into(), &false.into()),
            "{transport}"
        );
        assert_eq!(first.last().unwrap()["event"], "left", "{transport}: {first:?}");

        // The next run has the same session, and leaves it by Ctrl-C.
        let mut child = login(&[]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = || -> serde_json::Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
        let second = next();
        assert_eq!(
            (&second["event"], &second["resumed"]),
            (&"online".into(), &true.into()),
            "{transport}: {second}"
        );
        assert_eq!(second["jid"], first[0]["jid"], "{transport}");
        // A BOSH session goes on without a login, a stream is resumed behind one.
        assert_eq!(second["mechanism"].is_null(), *transport == "BOSH", "{second}");
        interrupt(&child);
        assert_eq!(next()["event"], "left", "{transport}");
        assert_eq!(child.wait().unwrap().code(), Some(0));

        // So has one after a run that was killed.
        let mut child = login(&[]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(
            lines.next().unwrap().unwrap().contains("\"resumed\":true"),
            "{transport}"
        );
        child.kill().unwrap();
        child.wait().unwrap();
        let third = objects(&login(&["--once"]).output().unwrap());
        assert_eq!(
            (&third[0]["resumed"], &third[0]["jid"]),
            (&true.into(), &first[0]["jid"]),
            "{transport}"
        );
    }
    // A stream is resumed behind a login (XEP-0198 §5); on BOSH the four runs share one.
    let statistics = world.server.statistics();
    assert_eq!((statistics.logins, statistics.resumes), (9, 6));
    assert_eq!(world.server.violations(), [""; 0]);
}
