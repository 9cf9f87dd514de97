//! Login tokens (XEP-0484) on the servers that have them: what a login costs, a session that goes on, and tokens that are refused.

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use epode::error::{LoginError, SaslError};
    use epode::{Credentials, Offline, SaslProfile, ServerProof, Warning};
    use epode_chaos::{Profile, Proxy};
    use epode_interop::{Login, Outcome, Peer, Servers, Way};

    /// Each with the host that has tokens, and whether it gives a new one at every login.
    const SERVERS: [(&str, &str); 2] = [("prosody-13", "sasl2.localhost"), ("ejabberd-24", "localhost")];

    /// A folder of this test's own, which is empty.
    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("epode-fast-{}-{name}", std::process::id()));
        std::fs::remove_dir_all(&folder).unwrap_or_default();
        folder
    }

    fn copy(from: &PathBuf, to: &PathBuf) {
        std::fs::create_dir_all(to).unwrap();
        for file in std::fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }

    fn by_token(outcome: &Outcome, mechanism: &str) {
        let online = outcome.result.as_ref().unwrap_or_else(|_| panic!("{outcome:?}"));
        assert_eq!(online.mechanism, mechanism, "{outcome:?}");
        assert_eq!(online.profile, Some(SaslProfile::Sasl2));
        assert_eq!(online.proof, ServerProof::Verified);
        assert_eq!(outcome.attempts, 1);
    }

    #[tokio::test]
    async fn the_second_login_over_direct_tls_waits_once() {
        for (server, host) in SERVERS {
            let kept = folder(&format!("once-{server}"));
            let login = Login::new(server, &format!("user03@{host}"))
                .by(Way::DirectTls)
                .tokens_in(&kept);
            let login = login.password("pw");
            let first = login.run().await.unwrap().result.unwrap();
            assert!(first.mechanism.starts_with("SCRAM-"), "{server}: {first:?}");
            // With those of TCP and of TLS 1.3: three. Each login may bring a new token, so that it has to hold for the third too.
            for _ in 0..2 {
                let again = login.run().await.unwrap();
                by_token(&again, "HT-SHA-256-EXPR");
                assert_eq!(again.result.unwrap().round_trips, 1, "{server}");
            }
            std::fs::remove_dir_all(kept).unwrap();
        }
    }

    /// A folder with a token that the server has forgotten, made by that login and one that says so.
    async fn stale(login: impl Fn(&PathBuf) -> Login, name: &str) -> PathBuf {
        let (kept, stale) = (folder(&format!("kept-{name}")), folder(&format!("stale-{name}")));
        login(&kept).run().await.unwrap().result.unwrap();
        copy(&kept, &stale);
        let last = login(&kept).forget_token().run().await.unwrap();
        let last = last.result.as_ref().unwrap_or_else(|_| panic!("{name}: {last:?}"));
        assert!(last.mechanism.starts_with("HT-"), "{name}: {last:?}");
        std::fs::remove_dir_all(kept).unwrap();
        stale
    }

    /// Prosody's module for XEP-0474 forgets tls-server-end-point once a token was refused, so that the password's login on the same
    /// stream is told of another offer than there was: it could be somebody between the two. The token is gone then.
    #[tokio::test]
    async fn an_offer_that_changes_after_a_refused_token_is_not_believed() {
        for way in [Way::StartTls, Way::DirectTls, Way::WebSocket] {
            let login = |folder: &PathBuf| {
                Login::new("prosody-13", "user01@sasl2.localhost")
                    .by(way)
                    .password("pw")
                    .tokens_in(folder)
            };
            let stale = stale(login, &format!("offer-{way:?}")).await;
            let outcome = login(&stale).run().await.unwrap();
            match &outcome.result {
                Err(Offline::Login(LoginError::Mechanism { error, .. })) => {
                    assert!(matches!(error, SaslError::OfferChanged { .. }), "{way:?}: {error:?}");
                }
                _ => panic!("{way:?}: {outcome:?}"),
            }
            let next = login(&stale).run().await.unwrap();
            assert_eq!((next.result.is_ok(), next.attempts), (true, 1), "{way:?}: {next:?}");
            std::fs::remove_dir_all(stale).unwrap();
        }
    }

    /// A token that the server has forgotten: the next login is by the password, on the same connection.
    #[tokio::test]
    async fn a_refused_token_costs_one_retry() {
        for (server, host) in [("prosody-13", "fast.localhost"), ("ejabberd-24", "localhost")] {
            for way in [Way::StartTls, Way::DirectTls, Way::WebSocket, Way::Bosh] {
                if server == "ejabberd-24" && way == Way::Bosh {
                    continue; // It has no SASL2 there.
                }
                let login = |folder: &PathBuf| {
                    Login::new(server, &format!("user04@{host}"))
                        .by(way)
                        .password("pw")
                        .tokens_in(folder)
                };
                let name = format!("{server}-{way:?}");
                let stale = stale(login, &name).await;
                let again = folder(&format!("again-{name}"));
                copy(&stale, &again);

                let refused = login(&stale).run().await.unwrap();
                let online = refused
                    .result
                    .as_ref()
                    .unwrap_or_else(|_| panic!("{server} {way:?}: {refused:?}"));
                assert!(online.mechanism.starts_with("SCRAM-"), "{server} {way:?}: {refused:?}");
                assert_eq!(
                    (refused.attempts, refused.links),
                    (2, 1),
                    "{server} {way:?}: {refused:?}"
                );
                let told = |warning: &Warning| matches!(warning, Warning::TokenRefused { .. });
                assert!(refused.warnings.iter().any(told), "{server} {way:?}: {refused:?}");
                // It brought a new one.
                let next = login(&stale).run().await.unwrap();
                assert!(
                    next.result.as_ref().unwrap().mechanism.starts_with("HT-"),
                    "{server} {way:?}: {next:?}"
                );
                assert_eq!(next.attempts, 1, "{server} {way:?}: {next:?}");

                // Who has nothing but the token is told.
                let nothing = login(&again).credentials(Credentials::KeptToken).run().await.unwrap();
                assert!(
                    matches!(nothing.result, Err(Offline::Login(LoginError::NoToken { .. }))),
                    "{server} {way:?}: {nothing:?}"
                );
                for folder in [again, stale] {
                    std::fs::remove_dir_all(folder).unwrap();
                }
            }
        }
    }

    /// A token that a failing disk has changed is none: the login is by the password, and nothing of it is sent.
    #[tokio::test]
    async fn a_broken_token_is_not_used() {
        for (server, host) in SERVERS {
            let kept = folder(&format!("broken-{server}"));
            let login = || {
                Login::new(server, &format!("user05@{host}"))
                    .by(Way::DirectTls)
                    .password("pw")
                    .tokens_in(&kept)
            };
            login().run().await.unwrap().result.unwrap();
            let path = kept.join("token");
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x20;
            std::fs::write(&path, bytes).unwrap();
            let outcome = login().run().await.unwrap();
            let online = outcome
                .result
                .as_ref()
                .unwrap_or_else(|_| panic!("{server}: {outcome:?}"));
            assert!(online.mechanism.starts_with("SCRAM-"), "{server}: {outcome:?}");
            assert!(outcome.attempts <= 2 && outcome.links == 1, "{server}: {outcome:?}");
            std::fs::remove_dir_all(kept).unwrap();
        }
    }

    /// XEP-0198 within XEP-0388 within one message: the session goes on, and nobody needs the password for it.
    #[tokio::test]
    async fn a_session_goes_on_by_token() {
        for (server, host) in SERVERS {
            for way in [Way::StartTls, Way::DirectTls, Way::WebSocket] {
                let target = Servers::find().unwrap().address(server, way).unwrap();
                let proxy = Proxy::tcp(0, Profile::calm(), target).await.unwrap();
                let login = Login::new(server, &format!("user06@{host}"))
                    .by(way)
                    .password("pw")
                    .through(proxy.address());
                let mut peer = Peer::online(&login).await.unwrap();
                let me = peer.jid.clone();
                for cut in 1..=2 {
                    proxy.cut_all();
                    peer.until("Online again", |peer| peer.onlines.len() > cut)
                        .await
                        .unwrap();
                    peer.send(&me, cut..cut + 1).await.unwrap();
                    peer.until("what it sent to itself", |peer| peer.received.len() == cut)
                        .await
                        .unwrap();
                }
                assert_eq!(peer.onlines, [false, true, true], "{server} {way:?}: {peer:?}");
                assert_eq!(peer.jid, me, "{server} {way:?}");
                assert_eq!(peer.numbers_from(&me), [1, 2], "{server} {way:?}");
                for mechanism in &peer.mechanisms[1..] {
                    assert!(
                        mechanism.starts_with("HT-SHA-256-"),
                        "{server} {way:?}: {:?}",
                        peer.mechanisms
                    );
                }
                assert_eq!(peer.leave().await.offline, Some(Offline::Stopped));
            }
        }
    }
}
