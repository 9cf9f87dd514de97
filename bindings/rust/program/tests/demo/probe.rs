//! `epode probe`: every endpoint of a server, and every way in which one does not work.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::world::{World, epode, err, name_server, objects, out};

/// A port at which nobody listens.
fn dead_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn every_endpoint_is_found_and_looked_at() {
    let world = World::new("probe", |_| {});
    let dns = name_server(vec![
        ("_xmpps-client", world.server.direct_tls_address().port(), "xmpp.test"),
        ("_xmpp-client", world.server.starttls_address().port(), "xmpp.test"),
    ]);
    let https = format!("localhost=127.0.0.1:{}", world.server.address().port());
    let probe = |more: &[&str]| {
        epode(&[
            "probe",
            "localhost",
            "--ca",
            &world.file("ca.crt"),
            "--dns",
            &dns.to_string(),
        ])
        .args(["--resolve", "xmpp.test=127.0.0.1", "--resolve", &https])
        .args(more)
        .output()
        .unwrap()
    };
    let output = probe(&["--json"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", out(&output), err(&output));
    let lines = objects(&output);
    let (summary, endpoints) = lines.split_last().unwrap();
    let found: Vec<_> = endpoints
        .iter()
        .map(|endpoint| {
            [&endpoint["transport"], &endpoint["tls"], &endpoint["found_by"]].map(|value| value.to_string())
        })
        .collect();
    let expected = [
        ["\"TCP\"", "\"direct\"", "\"srv\""],
        ["\"TCP\"", "\"starttls\"", "\"srv\""],
        ["\"WebSocket\"", "null", "\"host-meta\""],
        ["\"BOSH\"", "null", "\"host-meta\""],
    ];
    assert_eq!(found, expected, "{}", out(&output));
    for endpoint in endpoints {
        assert_eq!(endpoint["event"], "endpoint");
        assert_eq!(
            (&endpoint["works"], &endpoint["reachable"]),
            (&true.into(), &true.into()),
            "{endpoint}"
        );
        assert_eq!(endpoint["tls_version"], "1.3");
        assert_eq!(
            endpoint["certificate"],
            serde_json::json!({ "valid": true, "name": "localhost", "reason": null })
        );
        assert_eq!(endpoint["client_certificate_requested"], true);
        let mechanisms = endpoint["mechanisms"].as_array().unwrap();
        assert!(
            mechanisms.contains(&"EXTERNAL".into()) && mechanisms.contains(&"SCRAM-SHA-256".into()),
            "{endpoint}"
        );
        assert!(
            endpoint["channel_bindings"].is_null() && endpoint["failure"].is_null(),
            "{endpoint}"
        );
        assert_eq!(endpoint["features"], serde_json::json!(["registration (XEP-0077)"]));
    }
    assert_eq!(summary["event"], "summary");
    assert_eq!((&summary["endpoints"], &summary["working"]), (&4.into(), &4.into()));
    assert_eq!(
        (&summary["domain"], &summary["status"]),
        (&"localhost".into(), &0.into())
    );
    assert_eq!(summary["search"].as_array().unwrap().len(), 4, "{summary}");

    let text = out(&probe(&[]));
    for expected in [
        "_xmpps-client._tcp.localhost: 1 record\n",
        "https://localhost/.well-known/host-meta: a document of ",
        "ENDPOINT ",
        " STARTTLS  ",
        "valid for localhost",
        "    mechanisms        EXTERNAL, SCRAM-SHA-256, ",
        "    channel bindings  not said\n",
        "\n4 of 4 endpoints work\n",
    ] {
        assert!(text.contains(expected), "{expected:?} is missing in:\n{text}");
    }
    // Nobody logged in, and nobody tried.
    let statistics = world.server.statistics();
    assert_eq!((statistics.logins, statistics.refusals), (0, 0));
    assert_eq!(world.server.violations(), [""; 0]);
}

#[test]
fn a_certificate_that_is_not_trusted_is_status_4_and_is_explained() {
    let world = World::new("probe-untrusted", |_| {});
    for (way, _) in world.ways() {
        let mut command = epode(&["probe", "localhost", "--json", "--ca", &world.file("other-ca.crt")]);
        let output = command.args(&way).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(4),
            "{way:?}: {}{}",
            out(&output),
            err(&output)
        );
        let endpoint = &objects(&output)[0];
        assert_eq!(
            (&endpoint["reachable"], &endpoint["works"]),
            (&true.into(), &false.into()),
            "{endpoint}"
        );
        assert_eq!(endpoint["certificate"]["valid"], false, "{endpoint}");
        assert!(
            endpoint["certificate"]["reason"].as_str().unwrap().len() > 20,
            "{endpoint}"
        );
    }
    // Of another name than the domain.
    let (way, _) = &world.ways()[1];
    let mut command = epode(&["probe", "example.org", "--json", "--ca", &world.file("ca.crt")]);
    let output = command.args(way).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}{}", out(&output), err(&output));
    assert!(out(&output).contains("localhost"), "{}", out(&output));
}

#[test]
fn what_nobody_names_is_guessed() {
    let dns = name_server(Vec::new());
    let dead = format!("localhost=127.0.0.1:{}", dead_port());
    let output = epode(&[
        "probe",
        "localhost",
        "--json",
        "--dns",
        &dns.to_string(),
        "--resolve",
        &dead,
    ])
    .output()
    .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}{}", out(&output), err(&output));
    let lines = objects(&output);
    let (summary, endpoints) = lines.split_last().unwrap();
    assert_eq!(endpoints.len(), 8, "{}", out(&output));
    for endpoint in endpoints {
        assert_eq!(
            (&endpoint["found_by"], &endpoint["reachable"]),
            (&"guess".into(), &false.into()),
            "{endpoint}"
        );
    }
    assert_eq!((&summary["working"], &summary["status"]), (&0.into(), &3.into()));
}

#[test]
fn a_service_that_dns_denies_is_not_guessed() {
    let dns = name_server(vec![("_xmpps-client", 1, ""), ("_xmpp-client", 1, "")]);
    let dead = format!("localhost=127.0.0.1:{}", dead_port());
    let output = epode(&[
        "probe",
        "localhost",
        "--plain",
        "--dns",
        &dns.to_string(),
        "--resolve",
        &dead,
    ])
    .output()
    .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}{}", out(&output), err(&output));
    assert!(
        out(&output).ends_with("localhost has no endpoint\n"),
        "{}",
        out(&output)
    );
}

#[test]
fn who_never_answers_costs_no_more_than_the_limit() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let started = Instant::now();
    let output = epode(&[
        "probe",
        "localhost",
        "--host",
        "127.0.0.1",
        "--port",
        &port,
        "--timeout",
        "1",
        "--json",
    ])
    .output()
    .unwrap();
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    assert_eq!(output.status.code(), Some(3), "{}{}", out(&output), err(&output));
    let endpoint = &objects(&output)[0];
    assert_eq!(
        (&endpoint["works"], &endpoint["found_by"]),
        (&false.into(), &"option".into())
    );
    assert!(endpoint["failure"].as_str().is_some(), "{endpoint}");
}
