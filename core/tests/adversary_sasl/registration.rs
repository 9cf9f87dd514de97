//! Accounts that do not exist yet: what a server may want for one (XEP-0077 §3.1), and what it gets.

use epode::error::{LoginError, RegistrationProblem};
use epode::{Config, Credentials, LinkInfo, Offline, Output, TlsPolicy};

use crate::harness::{PASSWORD, of};
use crate::server::{Login, Offer, SCRAM, USER, both, everywhere};

fn new_account() -> Config {
    let config = of(USER).credentials(Credentials::new_account(PASSWORD));
    config.build().unwrap()
}

fn asked(login: &Login) -> String {
    login.iq_id()
}

fn result(id: &str, query: &str) -> String {
    format!("<iq xmlns='jabber:client' type='result' id='{id}'><query xmlns='jabber:iq:register'>{query}</query></iq>")
}

fn wants(login: &mut Login, query: &str) {
    let id = asked(login);
    login.answer(&result(&id, query));
}

/// The account was not made, and nobody has heard the password.
fn problem(login: &Login, case: &str) -> RegistrationProblem {
    assert!(login.is_over() && !login.is_online(), "{case}: {:?}", login.events);
    assert_eq!(login.count("iq"), 1, "{case}: nothing is submitted");
    assert!(login.starts().is_empty(), "{case}");
    login.assert_unsaid(PASSWORD, case);
    assert!(
        !login
            .others
            .iter()
            .any(|output| matches!(output, Output::Resolve { .. })),
        "{case}: {:?}",
        login.others
    );
    match login.reason() {
        Offline::Login(LoginError::Registration { problem }) => problem,
        other => panic!("{case}: {other:?}"),
    }
}

#[test]
fn an_account_is_made_of_a_name_and_a_password() {
    everywhere(|profile| {
        let mut login = Login::new(profile, new_account(), &Offer::of(&[SCRAM]));
        wants(&mut login, "<instructions>Choose</instructions><username/><password/>");
        let submitted = login.sent("iq").pop().unwrap();
        let query = submitted.children().next().unwrap().to_element();
        let fields: Vec<(String, String)> = query
            .children()
            .map(|field| (field.name().to_owned(), field.to_element().text().into_owned()))
            .collect();
        let expected = [("username", "user"), ("password", PASSWORD)];
        assert_eq!(fields, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
        let id = asked(&login);
        login.answer(&format!("<iq xmlns='jabber:client' type='result' id='{id}'/>"));
        login.scram_in();
        assert!(!login.shown.contains(PASSWORD), "the password shows");
        let (log, _) = login.into_play().log();
        assert!(!log.contains(PASSWORD), "the password is in the log");
    });
}

#[test]
fn a_form_that_wants_more_gets_nothing() {
    both(|profile| {
        let form = |fields: &str| format!("<x xmlns='jabber:x:data' type='form'>{fields}</x>");
        let many: String = (0..500).map(|n| format!("<f{n}/>")).collect();
        for query in [
            "<username/><password/><email/>".to_owned(),
            "<password/>".to_owned(),
            String::new(),
            "<x xmlns='jabber:x:oob'><url>http://169.254.169.254/register</url></x>".to_owned(),
            form("<field var='current-password' type='text-private'><required/></field>"),
            form("<field var='FORM_TYPE' type='hidden'><value>jabber:iq:register</value></field>"),
            form("<field var='x&#xA;2026-01-01 login of admin'><required/></field>"),
            format!("<instructions>{}</instructions><x/>", "x".repeat(30_000)),
            "<instructions>ok&#xA;2026-01-01 login of admin\u{9b}31m\u{202e}</instructions><x/>".to_owned(),
            many,
        ] {
            let mut login = Login::new(profile, new_account(), &Offer::of(&[SCRAM]));
            wants(&mut login, &query);
            let case = &query[..query.len().min(60)];
            let problem = problem(&login, case);
            assert!(
                matches!(problem, RegistrationProblem::Fields { .. }),
                "{case}: {problem:?}"
            );
            let reason = login.reason();
            for shown in [reason.to_string(), format!("{reason:?}")] {
                assert!(!shown.chars().any(char::is_control), "{case}: {shown:?}");
                assert!(shown.len() < 40_000, "{case}: {} bytes", shown.len());
            }
            assert!(!reason.to_string().contains('\u{202e}'), "{case}");
        }
        for query in [
            "<registered/><username/><password/>",
            "<username>user</username><password/><registered/>",
        ] {
            let mut login = Login::new(profile, new_account(), &Offer::of(&[SCRAM]));
            wants(&mut login, query);
            assert_eq!(problem(&login, query), RegistrationProblem::Exists);
        }
    });
}

#[test]
fn only_the_server_that_was_asked_is_answered() {
    everywhere(|profile| {
        let mut login = Login::new(profile, new_account(), &Offer::of(&[SCRAM]));
        let id = asked(&login);
        let fields = "<username/><password/>";
        let from = |sender: &str| result(&id, fields).replacen("type=", &format!("from='{sender}' type="), 1);
        for stray in [
            result("another", fields),
            from("evil@example.net"),
            from("example.net"),
            from("other@example.org"),
        ] {
            if login.is_over() {
                break;
            }
            login.answer(&stray);
            login.assert_unsaid(PASSWORD, &stray);
        }
    });
}

#[test]
fn nobody_hears_the_password_of_a_new_account_without_verified_tls() {
    both(|profile| {
        let encrypted = LinkInfo {
            encrypted: true,
            ..LinkInfo::default()
        };
        for info in [LinkInfo::default(), encrypted] {
            let config = of(USER)
                .credentials(Credentials::new_account(PASSWORD))
                .tls(TlsPolicy::AllowPlaintext);
            let login = Login::over(profile, config.build().unwrap(), info, &Offer::of(&[SCRAM]));
            assert!(matches!(login.reason(), Offline::Tls(_)), "{:?}", login.reason());
            assert_eq!(login.count("iq"), 0);
            login.assert_unsaid(PASSWORD, "in the clear");
        }
    });
}

#[test]
fn an_account_that_cannot_be_made_is_not_logged_in_to() {
    both(|profile| {
        for condition in ["conflict", "not-allowed", "service-unavailable", "resource-constraint"] {
            let mut login = Login::new(profile, new_account(), &Offer::of(&[SCRAM, "PLAIN"]));
            wants(&mut login, "<username/><password/>");
            let id = asked(&login);
            login.answer(&format!(
                "<iq xmlns='jabber:client' type='error' id='{id}'><error type='cancel'>\
                 <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
            ));
            let reason = login.reason();
            assert!(
                matches!(reason, Offline::Login(LoginError::Registration { .. })),
                "{condition}: {reason:?}"
            );
            assert!(login.starts().is_empty(), "{condition}");
            assert_eq!(login.count("iq"), 2, "{condition}: it is asked for once");
        }
    });
}
