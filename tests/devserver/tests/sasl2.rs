//! SASL2 (XEP-0388) and what is inline in it: binding (XEP-0386), stream management (XEP-0198), tokens (XEP-0484), tasks (XEP-0480).

#[cfg(test)]
#[allow(dead_code, reason = "each test file uses its part of the helpers")]
mod support;

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use epode_devserver::{
        Authentication, BearerToken, Cut, Identifier, Personality, Proof, Rotation, ScramHash, Server, Transport,
    };

    use crate::support::link::{LINKS, Link, SM};
    use crate::support::modern::{AGENT, BIND2, FAST, SASL2, SHA_256, Scram, Token, authenticate, plain};
    use crate::support::{Authority, CLIENT, Client, Connection, Validity, between, start};

    const NONE: [&str; 0] = [];
    const QUICK: &str = "HT-SHA-256-EXPR";
    const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";

    async fn modern(authority: &Authority, change: impl FnOnce(&mut Authentication)) -> Server {
        start(authority, |settings| {
            settings.authentication = Authentication::modern();
            change(&mut settings.authentication);
        })
        .await
    }

    async fn opened(server: &Server, transport: Transport, authority: &Authority) -> (Link, String) {
        let mut link = Link::connect(server, transport, authority, None).await;
        let features = link.open_as("user01").await;
        (link, features)
    }

    async fn direct(server: &Server, authority: &Authority) -> Link {
        opened(server, Transport::DirectTls, authority).await.0
    }

    fn request(mechanism: &str) -> String {
        format!("{AGENT}<request-token {FAST} mechanism='{mechanism}'/>")
    }

    fn bind(inside: &str) -> String {
        format!("<bind {BIND2}><tag>test</tag>{inside}</bind>")
    }

    #[track_caller]
    fn identifier(success: &str) -> &str {
        between(success, "<authorization-identifier>", "</authorization-identifier>")
    }

    /// A token for this mechanism, from a login with a password that binds nothing.
    async fn token(server: &Server, authority: &Authority, mechanism: &'static str) -> Token {
        let mut link = direct(server, authority).await;
        Token::find(&link.login2(&request(mechanism), "</success>").await, mechanism)
    }

    /// The answer to a login with a token; `<success/>` is proved to be the server's.
    async fn quick(link: &mut Link, token: &Token, inline: &str) -> String {
        let binding = link.binding("tls-exporter");
        let (login, proof) = token.authenticate(&binding, &format!("<fast {FAST}/>{inline}"));
        link.send(&login).await;
        let answer = link.until("urn:xmpp:sasl:2'>").await;
        let end = if answer.contains("<success") {
            "</success>"
        } else {
            "</failure>"
        };
        let answer = answer + &link.until(end).await;
        assert_eq!(answer.contains("<success"), answer.contains(&proof), "{answer}");
        answer
    }

    #[tokio::test]
    async fn a_password_then_a_token_then_a_resumption_on_each_transport() {
        let authority = Authority::new();
        let server = modern(&authority, |_| {}).await;
        for transport in LINKS {
            let (mut link, features) = opened(&server, transport, &authority).await;
            for part in [
                "<inline><bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:carbons:2'/>\
                 <feature var='urn:xmpp:csi:0'/><feature var='urn:xmpp:sm:3'/></inline></bind><fast xmlns='urn:xmpp:fast:0'>",
                "<sm xmlns='urn:xmpp:sm:3'/></inline></authentication>",
            ] {
                assert!(features.contains(part), "{features}");
            }
            let all = "<enable xmlns='urn:xmpp:carbons:2'/><inactive xmlns='urn:xmpp:csi:0'/>";
            let inline = format!("{}{}", bind(&format!("{all}{ENABLE}")), request(QUICK));
            let success = link.login2(&inline, "</success>").await;
            let jid = identifier(&success).to_owned();
            assert!(jid.starts_with("user01@localhost/test~"), "{jid}");
            let session = between(&success, "<enabled xmlns='urn:xmpp:sm:3' resume='true' id='", "'").to_owned();
            let features = link.until("</stream:features>").await;
            assert!(
                !features.contains("xmpp-bind") && !features.contains("urn:xmpp:sm:3") && features.contains("csi"),
                "{features}"
            );
            let first = Token::find(&success, QUICK);
            link.ping("a").await;
            link.message("user01@localhost", "for later").await;
            link.until("for later").await;
            server.control().cut(transport, Cut::Reset);
            while server.control().waiting_sessions() == 0 {
                tokio::task::yield_now().await;
            }

            // The ping's result was counted before it was lost; the message comes again.
            let (mut link, _) = opened(&server, transport, &authority).await;
            let resume = format!("<resume {SM} previd='{session}' h='1'/>");
            let success = quick(&mut link, &first, &format!("{AGENT}{}{resume}", bind(ENABLE))).await;
            assert_eq!(identifier(&success), jid);
            assert!(
                success.contains(&format!("<resumed {SM} previd='{session}' h='2'/>")) && !success.contains("<bound"),
                "{success}"
            );
            let second = Token::find(&success, QUICK);
            assert_ne!(first, second);
            let again = link.until("<r xmlns='urn:xmpp:sm:3'/>").await;
            assert!(again.contains("for later") && !again.contains("features"), "{again}");
            assert_eq!(link.ping("b").await.matches("features").count(), 0);

            // There is nothing to resume: a new resource is bound instead.
            let (mut link, _) = opened(&server, transport, &authority).await;
            let resume = format!("<resume {SM} previd='unknown' h='0'/>");
            let success = quick(&mut link, &second, &format!("{AGENT}{}{resume}", bind(ENABLE))).await;
            assert!(success.contains("<item-not-found"), "{success}");
            assert!(success.find("</failed>") < success.find("<bound"), "{success}");
            assert_ne!(identifier(&success), jid);
            link.until("</stream:features>").await;
            link.ping("c").await;
        }
        assert_eq!(server.violations(), NONE);
        let statistics = server.statistics();
        assert_eq!(
            (statistics.logins, statistics.resumes, statistics.failed_resumes),
            (9, 3, 3)
        );
        assert_eq!((statistics.carbons, statistics.client_states), (3, 3));
        let quick = server
            .attempts()
            .iter()
            .filter(|attempt| attempt.mechanism == QUICK)
            .count();
        assert_eq!((server.attempts().len(), quick), (9, 6));
    }

    #[tokio::test]
    async fn without_inline_binding_the_old_way_is_open() {
        let authority = Authority::new();
        let server = modern(&authority, |options| options.bind2 = false).await;
        for transport in LINKS {
            let (mut link, features) = opened(&server, transport, &authority).await;
            assert!(!features.contains("urn:xmpp:bind:0"), "{features}");
            let success = link.login2("", "</success>").await;
            assert_eq!(identifier(&success), "user01@localhost");
            let features = link.until("</stream:features>").await;
            assert!(features.contains("xmpp-bind"), "{features}");
            assert_eq!(link.bind("old").await, "user01@localhost/old");
            link.enable().await;
        }
        assert_eq!(server.violations(), NONE);
    }

    #[tokio::test]
    async fn every_mechanism_has_its_place_in_the_new_profile() {
        let authority = Authority::new();
        let server = modern(&authority, |options| {
            options.anonymous = true;
            options.bearer_tokens = vec![BearerToken::good("good", "user02")];
        })
        .await;
        let identity = authority.client(&["user01@localhost"], Validity::Now);
        for (mechanism, user) in [("EXTERNAL", Some("user01")), ("ANONYMOUS", None)] {
            for initial in ["<initial-response/>", ""] {
                let mut link = Link::connect(&server, Transport::WebSocket, &authority, Some(&identity)).await;
                link.open().await;
                let inside = format!("{initial}{}", bind(""));
                link.send(&format!(
                    "<authenticate {SASL2} mechanism='{mechanism}'>{inside}</authenticate>"
                ))
                .await;
                let success = link.until("</success>").await;
                let jid = identifier(&success);
                match user {
                    Some(user) => assert!(jid.starts_with(&format!("{user}@localhost/test~")), "{jid}"),
                    None => assert!(jid.contains("@localhost/test~") && !jid.contains("user"), "{jid}"),
                }
                assert!(!success.contains("additional-data"), "{success}");
                link.until("</stream:features>").await;
                link.ping("p").await;
            }
        }
        let mut link = Link::connect(&server, Transport::DirectTls, &authority, None).await;
        link.open_as("user02").await;
        let bearer = |token: &str| STANDARD.encode(format!("n,,\x01auth=Bearer {token}\x01\x01"));
        link.send(&authenticate("OAUTHBEARER", &bearer("bad"), "")).await;
        link.until("</challenge>").await;
        link.send(&format!("<response {SASL2}>AQ==</response>")).await;
        assert!(link.until("</failure>").await.contains("<not-authorized"));
        link.send(&authenticate("OAUTHBEARER", &bearer("good"), "")).await;
        assert_eq!(identifier(&link.until("</success>").await), "user02@localhost");
        assert_eq!(server.violations(), NONE);
    }

    #[tokio::test]
    async fn a_login_need_not_wait_for_the_features() {
        let authority = Authority::new();
        let server = modern(&authority, |_| {}).await;
        for transport in [Transport::StartTls, Transport::DirectTls] {
            let token = token(&server, &authority, QUICK).await;
            let mut link = Link::connect(&server, transport, &authority, None).await;
            let inline = format!("{AGENT}<fast {FAST}/>{}", bind(""));
            let (login, proof) = token.authenticate(&link.binding("tls-exporter"), &inline);
            let header = link.header().replacen(" to=", " from='user01@localhost' to=", 1);
            link.send(&format!("{header}{login}")).await;
            link.until("</stream:features>").await;
            assert!(link.until("</success>").await.contains(&proof));
            link.until("</stream:features>").await;
            link.ping("p").await;
        }
        assert_eq!(server.violations(), NONE);
    }

    #[tokio::test]
    async fn success_looks_as_each_server_says_it() {
        let authority = Authority::new();
        for (personality, tag, order) in [
            (
                Personality::Prosody,
                '~',
                ["<additional-data", "<bound", "<token", "<authorization-identifier"],
            ),
            (
                Personality::Ejabberd,
                '.',
                ["<token", "<bound", "<authorization-identifier", "<additional-data"],
            ),
        ] {
            let server = start(&authority, |settings| {
                settings.personality = personality;
                settings.authentication = Authentication::modern();
            })
            .await;
            let mut link = direct(&server, &authority).await;
            let success = link
                .login2(&format!("{}{}", bind(""), request(QUICK)), "</success>")
                .await;
            assert!(
                identifier(&success).starts_with(&format!("user01@localhost/test{tag}")),
                "{success}"
            );
            let places = order.map(|element| success.find(element).unwrap());
            assert!(places.is_sorted(), "{success}");
        }
    }

    #[tokio::test]
    async fn over_bosh_everything_but_stream_management_is_inline() {
        let authority = Authority::new();
        let server = modern(&authority, |_| {}).await;
        let mut secret = None;
        for _ in 0..2 {
            let mut connection = Connection::open(&server, &authority, None).await;
            let creation = connection
                .post(
                    "<body xmlns='http://jabber.org/protocol/httpbind' rid='7' to='localhost' from='user01@localhost' \
                     wait='2' hold='1' ver='1.6'/>",
                )
                .await;
            assert!(
                creation.contains("<authentication xmlns='urn:xmpp:sasl:2'>"),
                "{creation}"
            );
            let mut client = Client {
                sid: between(&creation, " sid='", "'").to_owned(),
                connection,
                rid: 7,
                creation,
            };
            let login = match &secret {
                None => {
                    let inline = format!("{}{}", bind(""), request("HT-SHA-256-NONE"));
                    authenticate("PLAIN", &plain("user01"), &inline)
                }
                Some(token) => Token::authenticate(token, b"", &format!("<fast {FAST}/>{AGENT}{}", bind(""))).0,
            };
            let answer = client.send(&login).await;
            assert!(identifier(&answer).starts_with("user01@localhost/test~"), "{answer}");
            assert!(answer.contains("</success><stream:features"), "{answer}");
            secret = Some(Token::find(&answer, "HT-SHA-256-NONE"));
            let ping = format!("<iq {CLIENT} type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
            let answer = client.send(&ping).await;
            assert!(answer.contains("type='result' id='p'"), "{answer}");
        }
        assert_eq!(server.violations(), NONE);
    }

    #[tokio::test]
    async fn a_token_is_of_one_installation_one_mechanism_and_one_channel() {
        let authority = Authority::new();
        let server = modern(&authority, |_| {}).await;
        let token = token(&server, &authority, QUICK).await;
        let mut link = direct(&server, &authority).await;
        let other_agent = AGENT.replace("d4565fa7", "d4565fa8");
        assert!(quick(&mut link, &token, &other_agent).await.contains("<not-authorized"));
        assert!(quick(&mut link, &token, "").await.contains("<not-authorized"));
        let end_point = link.binding("tls-server-end-point");
        for (mechanism, binding) in [
            ("HT-SHA-256-NONE", Vec::new()),
            ("HT-SHA-256-ENDP", end_point),
            (QUICK, vec![0; 32]),
        ] {
            let token = token.with_mechanism(mechanism);
            let (login, _) = token.authenticate(&binding, &format!("{AGENT}<fast {FAST}/>"));
            link.send(&login).await;
            let answer = link.until("</failure>").await;
            assert!(
                answer.contains("<not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
                "{answer}"
            );
        }
        // The mechanism is not among those for everybody.
        let (login, _) = token.authenticate(&link.binding("tls-exporter"), AGENT);
        link.send(&login).await;
        assert!(link.until("</failure>").await.contains("<invalid-mechanism"));
        let success = quick(&mut link, &token, AGENT).await;
        assert_eq!(identifier(&success), "user01@localhost");
        assert_eq!((server.statistics().logins, server.statistics().refusals), (2, 6));
    }

    #[tokio::test]
    async fn a_token_lives_until_a_later_one_is_used() {
        let authority = Authority::new();
        let server = modern(&authority, |_| {}).await;
        let first = token(&server, &authority, QUICK).await;
        let second = Token::find(
            &quick(&mut direct(&server, &authority).await, &first, AGENT).await,
            QUICK,
        );
        let success = quick(&mut direct(&server, &authority).await, &first, AGENT).await;
        assert!(success.contains("<success"), "the answer may have been lost: {success}");
        quick(&mut direct(&server, &authority).await, &second, AGENT).await;
        let failure = quick(&mut direct(&server, &authority).await, &first, AGENT).await;
        assert!(failure.contains("<not-authorized"), "{failure}");

        server.control().change_authentication(|options| {
            options.fast.as_mut().unwrap().rotation = Rotation::Never;
        });
        let success = quick(&mut direct(&server, &authority).await, &second, AGENT).await;
        assert!(success.contains("<success") && !success.contains("<token"), "{success}");
    }

    #[tokio::test]
    async fn a_token_ends_when_it_is_given_back_expires_or_is_refused() {
        let authority = Authority::new();
        let server = modern(&authority, |_| {}).await;
        let back = token(&server, &authority, QUICK).await;
        let mut link = direct(&server, &authority).await;
        let invalidate = format!("<fast {FAST} invalidate='true'/>{AGENT}");
        let (login, proof) = back.authenticate(&link.binding("tls-exporter"), &invalidate);
        link.send(&login).await;
        let success = link.until("</success>").await;
        assert!(success.contains(&proof) && !success.contains("<token"), "{success}");
        let mut link = direct(&server, &authority).await;
        assert!(quick(&mut link, &back, AGENT).await.contains("<not-authorized"));

        let old = token(&server, &authority, QUICK).await;
        server.control().expire_tokens();
        assert!(quick(&mut link, &old, AGENT).await.contains("<credentials-expired"));
        // The stream goes on, and so does the login with a password.
        let good = Token::find(&link.login2(&request(QUICK), "</success>").await, QUICK);

        server.control().change_authentication(|options| {
            options.fast.as_mut().unwrap().refusal = Some("temporary-auth-failure");
        });
        let mut link = direct(&server, &authority).await;
        assert!(quick(&mut link, &good, AGENT).await.contains("<temporary-auth-failure"));
        server
            .control()
            .change_authentication(|options| options.fast.as_mut().unwrap().refusal = None);
        assert!(quick(&mut link, &good, AGENT).await.contains("<success"));
        server.control().set_password("user01", "another");
        assert_eq!(
            server.control().tokens(),
            0,
            "a new password ends what the old one began"
        );
        assert_eq!(server.violations(), NONE);
    }

    #[tokio::test]
    async fn success_can_be_a_lie() {
        let authority = Authority::new();
        let server = modern(&authority, |options| options.features_after_resumption = true).await;
        let token = token(&server, &authority, QUICK).await;
        for proof in [Proof::Missing, Proof::Wrong] {
            server.control().change_authentication(|options| options.proof = proof);
            let mut link = direct(&server, &authority).await;
            let fast = format!("<fast {FAST}/>{AGENT}");
            let (login, right) = token.authenticate(&link.binding("tls-exporter"), &fast);
            link.send(&login).await;
            let success = link.until("</success>").await;
            assert!(!success.contains(&right), "{success}");
            assert_eq!(
                success.contains("<additional-data>"),
                proof == Proof::Wrong,
                "{success}"
            );
        }
        for (identifier, present) in [
            (Identifier::Missing, false),
            (Identifier::Instead("eve@localhost/x".into()), true),
        ] {
            server.control().change_authentication(|options| {
                options.proof = Proof::Right;
                options.identifier = identifier;
            });
            let success = direct(&server, &authority).await.login2("", "</success>").await;
            let lie = "<authorization-identifier>eve@localhost/x</authorization-identifier>";
            assert_eq!(success.contains(lie), present, "{success}");
            assert_eq!(success.contains("authorization-identifier"), present, "{success}");
        }
    }

    #[tokio::test]
    async fn a_task_is_done_before_the_client_is_in() {
        let authority = Authority::new();
        let server = modern(&authority, |options| {
            options.tasks = vec!["TEST-A".into(), "TEST-B".into()]
        })
        .await;
        let mut link = direct(&server, &authority).await;
        let told = link.login2(&bind(""), "</continue>").await;
        assert!(
            told.ends_with("<tasks><task>TEST-A</task><task>TEST-B</task></tasks></continue>"),
            "{told}"
        );
        link.send(&format!("<next {SASL2} task='TEST-B'/>")).await;
        for _ in 0..2 {
            let data = link.until("</task-data>").await;
            let text = between(&data, "<ask xmlns='urn:epode:devserver:task'>", "</ask>");
            link.send(&format!(
                "<task-data {SASL2}><answer xmlns='urn:epode:devserver:task'>{text}</answer></task-data>"
            ))
            .await;
        }
        let success = link.until("</success>").await;
        assert!(!success.contains("additional-data"), "it came before: {success}");
        assert!(identifier(&success).starts_with("user01@localhost/test~"), "{success}");
        link.until("</stream:features>").await;
        link.ping("a").await;

        // Who has a token has done it before (XEP-0484 §4.2).
        server.control().change_authentication(|options| options.tasks.clear());
        let token = token(&server, &authority, QUICK).await;
        server
            .control()
            .change_authentication(|options| options.tasks = vec!["TEST-A".into()]);
        let success = quick(&mut direct(&server, &authority).await, &token, AGENT).await;
        assert!(success.contains("<success"), "{success}");

        let mut link = direct(&server, &authority).await;
        link.login2("", "</continue>").await;
        link.send(&format!("<next {SASL2} task='TEST-A'/>")).await;
        link.until("</task-data>").await;
        let wrong = "<answer xmlns='urn:epode:devserver:task'>no</answer>";
        link.send(&format!("<task-data {SASL2}>{wrong}</task-data>")).await;
        assert!(link.until("</failure>").await.contains("<not-authorized"));

        link.login2("", "</continue>").await;
        link.send(&format!("<abort {SASL2}/>")).await;
        assert!(link.until("</failure>").await.contains("<aborted"));
        assert_eq!(server.violations(), NONE);

        link.login2("", "</continue>").await;
        link.send(&authenticate("PLAIN", &plain("user01"), "")).await;
        assert!(link.rest().await.contains("<policy-violation"));
        assert_eq!(server.violations(), ["<authenticate/> after <continue/>"]);
    }

    #[tokio::test]
    async fn an_account_gets_the_hash_that_it_lacks() {
        let authority = Authority::new();
        let server = modern(&authority, |options| options.upgrades = vec![ScramHash::Sha256]).await;
        let (mut link, features) = opened(&server, Transport::DirectTls, &authority).await;
        let offer = "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade>";
        assert!(
            features.contains(offer) && !features.contains(">SCRAM-SHA-256<"),
            "{features}"
        );
        link.send(&authenticate("PLAIN", &plain("user01"), offer)).await;
        let told = link.until("</continue>").await;
        assert!(
            told.contains("<tasks><task>UPGR-SCRAM-SHA-256</task></tasks>"),
            "{told}"
        );
        link.send(&format!("<next {SASL2} task='UPGR-SCRAM-SHA-256'/>")).await;
        let data = link.until("</task-data>").await;
        let salt = between(&data, "<salt xmlns='urn:xmpp:scram-upgrade:0' ", "</salt>");
        let (count, salt) = salt.split_once('>').unwrap();
        let salted = SHA_256.salted(
            "user01's password",
            &STANDARD.decode(salt).unwrap(),
            between(count, "iterations='", "'").parse().unwrap(),
        );
        let hash = |salted: &[u8]| {
            let hash = STANDARD.encode(salted);
            format!("<task-data {SASL2}><hash xmlns='urn:xmpp:scram-upgrade:0'>{hash}</hash></task-data>")
        };
        link.send(&hash(&salted)).await;
        assert_eq!(identifier(&link.until("</success>").await), "user01@localhost");

        let (mut link, features) = opened(&server, Transport::DirectTls, &authority).await;
        assert!(
            !features.contains(offer) && features.contains(">SCRAM-SHA-256<"),
            "{features}"
        );
        link.login2("", "</success>").await;
        assert_eq!(server.violations(), NONE);

        // The other user still lacks it, and may not bring something else.
        let mut link = Link::connect(&server, Transport::DirectTls, &authority, None).await;
        assert!(link.open_as("user02").await.contains(offer));
        link.send(&authenticate("PLAIN", &plain("user02"), offer)).await;
        link.until("</continue>").await;
        link.send(&format!("<next {SASL2} task='UPGR-SCRAM-SHA-256'/>")).await;
        link.until("</task-data>").await;
        link.send(&hash(&salted)).await;
        link.until("</failure>").await;
        assert_eq!(server.violations(), ["a hash that is not the password's (XEP-0480 §3)"]);
    }

    #[tokio::test]
    async fn what_sasl2_forbids_is_refused_or_recorded() {
        let authority = Authority::new();
        let server = modern(&authority, |_| {}).await;
        let mut link = direct(&server, &authority).await;
        for (request, condition) in [
            (authenticate("PLAIN", "=", ""), "incorrect-encoding"),
            (
                authenticate("PLAIN", &STANDARD.encode("\0user01\0wrong"), ""),
                "not-authorized",
            ),
            (authenticate("CRAM-MD5", "", ""), "invalid-mechanism"),
        ] {
            link.send(&request).await;
            let answer = link.until("</failure>").await;
            let element = format!("<failure {SASL2}><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
            assert!(answer.starts_with(&element), "{answer}");
        }
        assert_eq!(server.violations(), NONE);
        let scram = Scram::new(&SHA_256, "user01", "n,,", Vec::new());
        link.send(&authenticate("SCRAM-SHA-256", &scram.initial(), "")).await;
        link.until("</challenge>").await;
        link.send("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AA==</response>")
            .await;
        link.until("</failure>").await;
        let odd = "<user-agent id='me'/><request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-UNIQ'/>";
        link.send(&authenticate("PLAIN", &plain("user01"), odd)).await;
        assert!(!link.until("</success>").await.contains("<token"));
        let mut link = Link::connect(&server, Transport::DirectTls, &authority, None).await;
        link.open().await;
        link.login2("", "</success>").await;
        assert_eq!(
            server.violations(),
            [
                "<response/> that nothing asked for",
                "a user-agent whose id is no UUID of version 4 (XEP-0388 §2.3)",
                "a token asked for with a mechanism that was not offered (XEP-0484 §3.2)",
                "SASL2 without `from` in the stream's header (XEP-0388 §2.1)",
            ]
        );
    }
}
