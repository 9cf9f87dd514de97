//! Every kind of client certificate, over BOSH, on both generations of Prosody: login, or refusal with its reason.

#[cfg(test)]
mod tests {
    use epode::error::LoginError;
    use epode::{Authzid, Offline, ServerProof, Warning};
    use epode_interop::{Login, Online, Outcome};

    /// The server took the certificate for that account.
    fn logs_in(outcome: &Outcome, account: &str) {
        let Ok(Online {
            account: bound,
            mechanism,
            proof,
            asked,
            ..
        }) = &outcome.result
        else {
            panic!("{outcome:?}")
        };
        assert_eq!(bound, account);
        assert_eq!(
            (mechanism.as_str(), *proof, *asked),
            ("EXTERNAL", ServerProof::None, Some(true))
        );
    }

    /// It said no, with that condition, and was asked once.
    fn refused(outcome: &Outcome, expected: &str) {
        match &outcome.result {
            Err(Offline::Login(LoginError::Refused {
                mechanism, condition, ..
            })) => {
                assert_eq!(
                    (mechanism.as_str(), condition.as_str()),
                    ("EXTERNAL", expected),
                    "{outcome:?}"
                );
            }
            _ => panic!("{outcome:?}"),
        }
        assert_eq!(outcome.attempts, 1);
    }

    /// It answered with an element that is neither success nor failure, which is a refusal and not something to wait behind.
    fn refused_oddly(outcome: &Outcome) {
        match &outcome.result {
            Err(Offline::Login(LoginError::UnknownAnswer { mechanism, element })) => {
                assert_eq!(mechanism, "EXTERNAL");
                assert_eq!(element, "{urn:ietf:params:xml:ns:xmpp-sasl}false");
            }
            _ => panic!("{outcome:?}"),
        }
        assert_eq!(outcome.attempts, 1);
    }

    async fn try_certificate(server: &'static str, jid: &str, certificate: &'static str) -> Outcome {
        Login::new(server, &format!("{jid}/{certificate}"))
            .certificate(certificate)
            .run()
            .await
            .unwrap()
    }

    macro_rules! certificates {
        ($($name:ident: $certificate:literal as $jid:literal, $check:expr;)*) => {
            mod prosody_13 {
                use super::*;
                $(#[tokio::test]
                async fn $name() {
                    let outcome = try_certificate("prosody-13", $jid, $certificate).await;
                    let check: fn(&Outcome) = $check;
                    check(&outcome);
                })*
            }
            mod prosody_0_12 {
                use super::*;
                $(#[tokio::test]
                async fn $name() {
                    let outcome = try_certificate("prosody-0.12", $jid, $certificate).await;
                    let check: fn(&Outcome) = $check;
                    check(&outcome);
                })*
            }
        };
    }

    certificates! {
        one_name: "alice" as "alice@cert.localhost", |outcome: &Outcome| {
            logs_in(outcome, "alice@cert.localhost");
            assert!(outcome.warnings.is_empty(), "{outcome:?}");
        };
        an_rsa_key: "alice-rsa" as "alice@cert.localhost", |outcome: &Outcome| logs_in(outcome, "alice@cert.localhost");
        a_name_beyond_ascii: "unicode" as "jürgen@cert.localhost", |outcome: &Outcome| {
            logs_in(outcome, "jürgen@cert.localhost");
        };
        a_full_jid: "full-jid" as "alice@cert.localhost", |outcome: &Outcome| logs_in(outcome, "alice@cert.localhost");
        the_first_of_two_names: "two" as "bob@cert.localhost", |outcome: &Outcome| logs_in(outcome, "bob@cert.localhost");
        the_second_of_two_names: "two" as "carol@cert.localhost", |outcome: &Outcome| logs_in(outcome, "carol@cert.localhost");
        none_of_two_names: "two" as "alice@cert.localhost", |outcome: &Outcome| {
            refused(outcome, "not-authorized");
            assert!(matches!(outcome.warnings.as_slice(), [Warning::CertificateNamesOthers { names }] if names.len() == 2));
        };
        a_name_at_each_of_two_hosts: "two-hosts" as "dave@cert.localhost", |outcome: &Outcome| logs_in(outcome, "dave@cert.localhost");
        no_extended_usage: "no-usage" as "alice@cert.localhost", |outcome: &Outcome| logs_in(outcome, "alice@cert.localhost");
        client_and_server_usage: "both-usages" as "alice@cert.localhost", |outcome: &Outcome| logs_in(outcome, "alice@cert.localhost");
        a_name_of_another_string_type: "ia5-string" as "alice@cert.localhost", |outcome: &Outcome| {
            logs_in(outcome, "alice@cert.localhost");
            assert!(outcome.warnings.contains(&Warning::CertificateNameType), "{outcome:?}");
        };
        through_an_intermediate: "by-intermediate" as "erin@cert.localhost", |outcome: &Outcome| logs_in(outcome, "erin@cert.localhost");
        a_user_that_the_server_does_not_look_up: "unknown-user" as "nosuchuser@cert.localhost", |outcome: &Outcome| {
            logs_in(outcome, "nosuchuser@cert.localhost");
        };
        a_user_that_the_server_allows: "alice-allowed" as "alice@certallow.localhost", |outcome: &Outcome| {
            logs_in(outcome, "alice@certallow.localhost");
        };
        a_user_that_the_server_does_not_allow: "unknown-user-allowed" as "nosuchuser@certallow.localhost", |outcome: &Outcome| {
            refused(outcome, "not-authorized");
        };
        a_name_at_another_host: "wrong-host" as "alice@cert.localhost", |outcome: &Outcome| refused(outcome, "not-authorized");
        no_name: "no-address" as "alice@cert.localhost", |outcome: &Outcome| {
            refused(outcome, "account-disabled");
            assert!(outcome.warnings.contains(&Warning::CertificateWithoutName), "{outcome:?}");
        };
        an_email_address_only: "email-only" as "alice@cert.localhost", |outcome: &Outcome| refused(outcome, "account-disabled");
        signed_by_itself: "self-signed" as "alice@cert.localhost", |outcome: &Outcome| refused(outcome, "account-disabled");
        signed_by_a_stranger: "untrusted" as "alice@cert.localhost", |outcome: &Outcome| refused(outcome, "account-disabled");
        expired: "expired" as "alice@cert.localhost", refused_oddly;
        not_yet_valid: "not-yet-valid" as "alice@cert.localhost", refused_oddly;
    }

    #[tokio::test]
    async fn no_certificate_at_all_is_refused() {
        for server in ["prosody-13", "prosody-0.12"] {
            let outcome = Login::new(server, "alice@cert.localhost/none").run().await.unwrap();
            refused(&outcome, "account-disabled");
            let Err(offline) = &outcome.result else {
                panic!("{outcome:?}")
            };
            assert!(offline.to_string().contains("find no account in it"), "{offline}");
        }
    }

    #[tokio::test]
    async fn without_an_authzid_the_server_takes_the_first_of_two_names() {
        for server in ["prosody-13", "prosody-0.12"] {
            let login = Login::new(server, "bob@cert.localhost/never")
                .certificate("two")
                .authzid(Authzid::Never);
            let outcome = login.run().await.unwrap();
            logs_in(&outcome, "bob@cert.localhost");
            assert!(
                outcome.warnings.contains(&Warning::CertificateNamesSeveral),
                "{outcome:?}"
            );
        }
    }

    #[tokio::test]
    async fn another_account_than_the_one_asked_for_is_not_believed() {
        for server in ["prosody-13", "prosody-0.12"] {
            let login = Login::new(server, "carol@cert.localhost/never")
                .certificate("two")
                .authzid(Authzid::Never);
            let outcome = login.run().await.unwrap();
            match &outcome.result {
                Err(Offline::Login(LoginError::UnexpectedIdentity { bound })) => {
                    assert!(bound.starts_with("bob@cert.localhost/"), "{bound}");
                }
                _ => panic!("{outcome:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_server_that_asks_for_no_certificate_does_not_offer_external() {
        let login = Login::new("ejabberd-24", "alice@cert.localhost/x").certificate("alice");
        let outcome = login.run().await.unwrap();
        match &outcome.result {
            Err(Offline::Login(LoginError::NoMechanism {
                offered,
                client_certificate_requested,
                ..
            })) => {
                assert!(offered.iter().any(|name| name == "SCRAM-SHA-256"), "{offered:?}");
                assert_eq!(*client_certificate_requested, Some(false));
            }
            _ => panic!("{outcome:?}"),
        }
        assert_eq!(outcome.attempts, 0);
    }
}
