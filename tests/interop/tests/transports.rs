//! Every transport on every server: logins, conversations, connections that are cut, and what is not forgiven.

#[cfg(test)]
mod tests {
    use epode::error::LoginError;
    use epode::{Offline, ServerProof, Stage, TransportKind};
    use epode_chaos::{Profile, Proxy};
    use epode_interop::{Login, Peer, Servers, Way};

    /// More than one acknowledgement is asked for (`request_after` is 10), and far from what a server keeps (500).
    ///
    /// It is also less than a server reads at once (4 KiB): where a connection ends in the middle of a stanza, Prosody 0.12, and 13 on
    /// WebSocket, keep its first half, put what comes over the next connection behind it, and end the session as `not-well-formed`.
    const MESSAGES: usize = 20;

    fn is_ejabberd(server: &str) -> bool {
        server.starts_with("ejabberd")
    }

    /// It received so many, and the fate of its own is known.
    fn has(peer: &Peer, messages: usize) -> bool {
        peer.received.len() >= messages && peer.is_settled()
    }

    async fn logs_in_by_password(server: &'static str, way: Way) {
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-1"] {
            let login = Login::new(server, &format!("user01@localhost/{way:?}-{mechanism}"))
                .by(way)
                .password("pw")
                .only(mechanism);
            let online = login.run().await.unwrap().result.unwrap();
            assert_eq!(online.account, "user01@localhost");
            assert_eq!(online.mechanism, mechanism);
            assert_eq!(online.proof, ServerProof::Verified);
        }
    }

    async fn logs_in_by_certificate(server: &'static str, way: Way) {
        let login = Login::new(server, &format!("alice@cert.localhost/{way:?}"))
            .by(way)
            .certificate("alice");
        let result = login.run().await.unwrap().result;
        // It asks for no certificate on https.
        if is_ejabberd(server) && matches!(way, Way::WebSocket | Way::Bosh) {
            match result {
                Err(Offline::Login(LoginError::NoMechanism {
                    client_certificate_requested,
                    ..
                })) => assert_eq!(client_certificate_requested, Some(false)),
                _ => panic!("{result:?}"),
            }
            return;
        }
        let online = result.unwrap();
        assert_eq!(online.account, "alice@cert.localhost");
        assert_eq!(online.mechanism, "EXTERNAL");
        assert_eq!(online.asked, Some(true));
    }

    async fn a_wrong_password_is_tried_once(server: &'static str, way: Way) {
        let login = Login::new(server, &format!("user02@localhost/{way:?}-wrong"))
            .by(way)
            .password("not it");
        let outcome = login.run().await.unwrap();
        match &outcome.result {
            Err(Offline::Login(LoginError::Refused { condition, .. })) => assert_eq!(condition, "not-authorized"),
            _ => panic!("{outcome:?}"),
        }
        assert_eq!(outcome.attempts, 1);
    }

    /// Both ways at once, with somebody on another transport.
    async fn talks(server: &'static str, way: Way) {
        let one = Login::new(server, &format!("user03@localhost/{way:?}-one")).by(way);
        let two = Login::new(server, &format!("user04@localhost/{way:?}-two")).by(way.other());
        let mut one = Peer::online(&one.password("pw")).await.unwrap();
        let mut two = Peer::online(&two.password("pw")).await.unwrap();
        assert_eq!(
            (one.transport, two.transport),
            (way.transport(), way.other().transport())
        );
        let (first, second) = (one.jid.clone(), two.jid.clone());
        one.send(&second, 0..MESSAGES).await.unwrap();
        two.send(&first, 0..MESSAGES).await.unwrap();
        Peer::both(&mut one, &mut two, "every message", |one, two| {
            has(one, MESSAGES) && has(two, MESSAGES)
        })
        .await
        .unwrap();
        for (peer, other) in [(&one, &second), (&two, &first)] {
            assert!(
                peer.numbers_from(other) == (0..MESSAGES).collect::<Vec<_>>(),
                "{peer:?}"
            );
            assert_eq!(peer.ended(Stage::Acked), MESSAGES);
        }
        for peer in [one, two] {
            let gone = peer.leave().await;
            assert_eq!(gone.offline, Some(Offline::Stopped));
            assert_eq!(gone.onlines, [false], "{gone:?}");
        }
    }

    /// The connection is cut without a goodbye, three times; both sides go on writing meanwhile.
    async fn resumes(server: &'static str, way: Way) {
        const CUTS: usize = 3;
        let target = Servers::find().unwrap().address(server, way).unwrap();
        let proxy = Proxy::tcp(0, Profile::calm(), target).await.unwrap();
        let away = Login::new(server, &format!("user05@localhost/{way:?}-away"))
            .by(way)
            .password("pw")
            .through(proxy.address());
        let steady = Login::new(server, &format!("user06@localhost/{way:?}-steady"))
            .by(way.other())
            .password("pw");
        let mut away = Peer::online(&away).await.unwrap();
        let mut steady = Peer::online(&steady).await.unwrap();
        let (moving, fixed) = (away.jid.clone(), steady.jid.clone());
        for cut in 0..CUTS {
            let from = cut * 2 * MESSAGES;
            // These are under way when the connection breaks.
            away.send(&fixed, from..from + MESSAGES).await.unwrap();
            steady.send(&moving, from..from + MESSAGES).await.unwrap();
            proxy.cut_all();
            Peer::both(&mut away, &mut steady, "Interrupted", |away, _| {
                away.interrupted.len() > cut
            })
            .await
            .unwrap();
            // And these are written while there is none.
            away.send(&fixed, from + MESSAGES..from + 2 * MESSAGES).await.unwrap();
            steady
                .send(&moving, from + MESSAGES..from + 2 * MESSAGES)
                .await
                .unwrap();
            let all = from + 2 * MESSAGES;
            // A stanza that was written on three links, each of which died before it was acknowledged, is given up.
            Peer::both(&mut away, &mut steady, "every message", |away, steady| {
                away.onlines.len() > cut + 1 && has(away, all) && has(steady, all)
            })
            .await
            .unwrap();
        }
        let all = CUTS * 2 * MESSAGES;
        for (peer, other) in [(&away, &fixed), (&steady, &moving)] {
            let mut numbers = peer.numbers_from(other);
            if is_ejabberd(server) && peer.onlines.len() > 1 {
                // What it routes at the moment when a connection breaks overtakes what it wrote just before.
                numbers.sort_unstable();
            }
            assert!(numbers == (0..all).collect::<Vec<_>>(), "{peer:?}");
            assert_eq!(peer.ended(Stage::Acked), all);
        }
        assert_eq!(away.onlines, [false, true, true, true], "resumed each time: {away:?}");
        assert_eq!(away.interrupted, [true; CUTS], "and it was known that it could be");
        assert_eq!(away.jid, moving);
        // What comes after the last message would be a second copy of one.
        for (peer, messages) in [(away.leave().await, all), (steady.leave().await, all)] {
            assert_eq!(peer.offline, Some(Offline::Stopped));
            assert_eq!(peer.received.len(), messages);
        }
    }

    /// Only the account is given: the way is found in the server's host-meta (XEP-0156).
    async fn finds_the_way(server: &'static str) {
        // Debian 12 has no module for it.
        assert_eq!(Servers::find().unwrap().has_host_meta(server), server != "prosody-0.12");
        for kind in [TransportKind::WebSocket, TransportKind::Bosh] {
            let login = Login::new(server, &format!("user01@localhost/discovery-{kind:?}"))
                .by(Way::HostMeta(kind))
                .password("pw");
            if server == "prosody-0.12" {
                let reason = login.run().await.unwrap().result.unwrap_err();
                assert!(matches!(reason, Offline::Connection(_)), "{reason:?}");
            } else {
                let peer = Peer::online(&login).await.unwrap();
                assert_eq!(peer.transport, kind);
                assert_eq!(peer.leave().await.offline, Some(Offline::Stopped));
            }
        }
    }

    macro_rules! each {
        ($($module:ident: $server:literal;)*) => {
            $(mod $module {
                use super::*;
                each!($server, starttls StartTls, direct_tls DirectTls, websocket WebSocket, bosh Bosh);
                each!($server, resumes: starttls StartTls, direct_tls DirectTls, websocket WebSocket);

                #[tokio::test]
                async fn finds_the_way() {
                    super::finds_the_way($server).await;
                }
            })*
        };
        ($server:literal, $($transport:ident $way:ident),*) => {
            $(mod $transport {
                use super::*;
                const WAY: Way = Way::$way;

                #[tokio::test]
                async fn logs_in_by_password() {
                    super::super::logs_in_by_password($server, WAY).await;
                }

                #[tokio::test]
                async fn logs_in_by_certificate() {
                    super::super::logs_in_by_certificate($server, WAY).await;
                }

                #[tokio::test]
                async fn a_wrong_password_is_tried_once() {
                    super::super::a_wrong_password_is_tried_once($server, WAY).await;
                }

                #[tokio::test]
                async fn talks() {
                    super::super::talks($server, WAY).await;
                }
            })*
        };
        ($server:literal, resumes: $($transport:ident $way:ident),*) => {
            mod resumes {
                use super::*;
                $(#[tokio::test]
                async fn $transport() {
                    super::super::resumes($server, Way::$way).await;
                })*
            }
        };
    }

    each! {
        prosody_13: "prosody-13";
        prosody_0_12: "prosody-0.12";
        ejabberd_24: "ejabberd-24";
        ejabberd_23: "ejabberd-23";
    }
}
