//! What users do with their own accounts on real servers: enrol a certificate and log in with it (XEP-0257), change the password
//! and remove the account (XEP-0077).

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use epode::certificates::Management;
    use epode::error::LoginError;
    use epode::{Credentials, Event, Offline};
    use epode_interop::{Login, Way};
    use epode_tokio::{Client, ClientIdentity};
    use rcgen::{CertificateParams, KeyPair, OtherNameValue, SanType};

    const WAYS: [Way; 4] = [Way::StartTls, Way::DirectTls, Way::WebSocket, Way::Bosh];
    const SERVERS: [&str; 4] = ["prosody-13", "prosody-0.12", "ejabberd-24", "ejabberd-23"];

    /// As a user's device makes it: it signs itself, and names the account.
    fn own(account: &str) -> ClientIdentity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let name = OtherNameValue::Utf8String(account.to_owned());
        params.subject_alt_names = vec![SanType::OtherName((vec![1, 3, 6, 1, 5, 5, 7, 8, 5], name))];
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2120, 1, 1);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        ClientIdentity::new(vec![certificate], key.serialize_der().try_into().unwrap()).unwrap()
    }

    async fn within<T>(what: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(60), what)
            .await
            .expect("it hangs")
    }

    /// Waits for the login.
    async fn online(client: &mut Client, what: &str) {
        within(async {
            loop {
                let event = client.next().await.expect("an event");
                assert!(!matches!(event, Event::Offline { .. }), "{what}: {event:?}");
                if let Event::Online { .. } = event {
                    return;
                }
            }
        })
        .await;
    }

    async fn refused(login: &Login, what: &str) {
        let outcome = login.run().await.unwrap();
        assert!(
            matches!(outcome.result, Err(Offline::Login(LoginError::Refused { .. }))),
            "{what}: {outcome:?}"
        );
    }

    #[tokio::test]
    async fn a_certificate_is_enrolled_and_logs_in_on_every_transport() {
        let account = "user02@certmgmt.localhost";
        for way in WAYS {
            let (what, name) = (format!("{way:?}"), format!("by {way:?}"));
            let identity = own(account);
            let der = identity.leaf().unwrap().to_vec();
            let by_certificate = Login::new("prosody-13", account).by(way).identity(identity);
            refused(&by_certificate, &what).await;

            let by_password = Login::new("prosody-13", &format!("{account}/owner-{way:?}"))
                .by(way)
                .password("pw");
            let (mut owner, _) = by_password.connect().await.unwrap();
            online(&mut owner, &what).await;
            within(owner.add_certificate(&name, &der, Management::Allowed))
                .await
                .unwrap();
            let listed = within(owner.certificates()).await.unwrap();
            let certificate = listed.iter().find(|certificate| certificate.name == name);
            assert_eq!(certificate.map(|certificate| &certificate.der), Some(&der), "{what}");
            let login = by_certificate.run().await.unwrap();
            assert_eq!(login.result.unwrap().mechanism, "EXTERNAL", "{what}");

            within(owner.disable_certificate(&name)).await.unwrap();
            let listed = within(owner.certificates()).await.unwrap();
            assert!(listed.iter().all(|certificate| certificate.name != name), "{what}");
            within(owner.stop()).await;
            refused(&by_certificate, &what).await;
        }
    }

    #[tokio::test]
    async fn a_revoked_certificate_ends_its_session() {
        let account = "user03@certmgmt.localhost";
        let identity = own(account);
        let der = identity.leaf().unwrap().to_vec();
        let by_password = Login::new("prosody-13", &format!("{account}/owner"))
            .by(Way::StartTls)
            .password("pw");
        let (mut owner, _) = by_password.connect().await.unwrap();
        online(&mut owner, "the owner").await;
        within(owner.add_certificate("stolen", &der, Management::Allowed))
            .await
            .unwrap();
        let thief = Login::new("prosody-13", &format!("{account}/thief"))
            .by(Way::DirectTls)
            .identity(identity);
        let (mut thief, _) = thief.connect().await.unwrap();
        online(&mut thief, "the thief").await;
        within(owner.revoke_certificate("stolen")).await.unwrap();
        let end = within(async {
            loop {
                if let Event::Offline { reason } = thief.next().await.expect("an event") {
                    return reason;
                }
            }
        })
        .await;
        assert!(matches!(end, Offline::Ended(_) | Offline::Login(_)), "{end:?}");
        within(owner.stop()).await;
    }

    #[tokio::test]
    async fn an_account_is_made_gets_another_password_and_is_removed() {
        for server in SERVERS {
            for way in WAYS {
                let what = format!("{server} by {way:?}");
                let name = format!("{way:?}-{}", std::process::id()).to_lowercase();
                let account = format!("{name}@register.localhost");
                let login = |credentials| Login::new(server, &account).by(way).credentials(credentials);
                let (first, second) = (Credentials::password("first"), Credentials::password("second"));

                let (mut client, _) = login(Credentials::new_account("first")).connect().await.unwrap();
                online(&mut client, &what).await;
                let done = within(client.change_password("second")).await;
                assert_eq!(done, Ok(()), "{what}");
                within(client.stop()).await;
                refused(&login(first), &what).await;
                // The client knows the new one, and so does everybody who is told.
                client.start().await.unwrap();
                online(&mut client, &what).await;
                let outcome = login(second.clone()).run().await.unwrap();
                assert!(outcome.result.is_ok(), "{what}: {outcome:?}");

                let done = within(client.remove_account()).await;
                assert_eq!(done, Ok(()), "{what}");
                within(async { while client.next().await.is_some() {} }).await;
                refused(&login(second), &what).await;
            }
        }
    }
}
