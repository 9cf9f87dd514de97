//! What users do with their own accounts: registration, password and removal (XEP-0077), certificates (XEP-0257).

#[cfg(test)]
#[allow(dead_code, reason = "each test file uses its part of the helpers")]
mod support;

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use epode_devserver::{Authentication, Server, Transport};

    use crate::support::link::{LINKS, Link};
    use crate::support::{Authority, CLIENT, Client, Connection, Identity, SASL, Validity, self_signed, start};

    const NONE: [&str; 0] = [];
    const REGISTER: &str = "xmlns='jabber:iq:register'";
    const CERTIFICATES: &str = "xmlns='urn:xmpp:saslcert:1'";

    async fn modern(authority: &Authority) -> Server {
        start(authority, |settings| settings.authentication = Authentication::modern()).await
    }

    async fn opened(server: &Server, authority: &Authority, identity: Option<&Identity>) -> Link {
        let mut link = Link::connect(server, Transport::DirectTls, authority, identity).await;
        link.open().await;
        link
    }

    fn query(kind: &str, inside: &str) -> String {
        format!("<iq {CLIENT} type='{kind}' id='q'><query {REGISTER}>{inside}</query></iq>")
    }

    fn account(name: &str, password: &str) -> String {
        query(
            "set",
            &format!("<username>{name}</username><password>{password}</password>"),
        )
    }

    fn manage(kind: &str, element: &str, inside: &str) -> String {
        format!("<iq {CLIENT} type='{kind}' id='q'><{element} {CERTIFICATES}>{inside}</{element}></iq>")
    }

    fn append(name: &str, (chain, _): &Identity, more: &str) -> String {
        let der = STANDARD.encode(&chain[0]);
        manage(
            "set",
            "append",
            &format!("<name>{name}</name><x509cert>{der}</x509cert>{more}"),
        )
    }

    /// The answer to an iq with the id `q`.
    async fn ask(link: &mut Link, iq: &str) -> String {
        link.send(iq).await;
        let start = link.until("id='q'").await;
        let answer = start + &link.until(">").await;
        if answer.ends_with("/>") {
            return answer;
        }
        answer + &link.until("</iq>").await
    }

    async fn plain(link: &mut Link, user: &str, password: &str) -> String {
        let message = STANDARD.encode(format!("\0{user}\0{password}"));
        link.send(&format!("<auth {SASL} mechanism='PLAIN'>{message}</auth>"))
            .await;
        link.until(">").await
    }

    async fn external(server: &Server, authority: &Authority, identity: &Identity, text: &str) -> (Link, String) {
        let mut link = opened(server, authority, Some(identity)).await;
        link.send(&format!("<auth {SASL} mechanism='EXTERNAL'>{text}</auth>"))
            .await;
        let answer = link.until("/>").await;
        (link, answer)
    }

    #[tokio::test]
    async fn an_account_is_made_used_changed_and_removed_on_each_transport() {
        let authority = Authority::new();
        let server = modern(&authority).await;
        for transport in LINKS {
            let mut link = Link::connect(&server, transport, &authority, None).await;
            let features = link.open().await;
            assert!(features.contains("<register xmlns='http://jabber.org/features/iq-register'/>"));
            let fields = ask(&mut link, &query("get", "")).await;
            assert!(fields.contains("<username/><password/></query>"), "{fields}");
            let answer = ask(&mut link, &account("user01", "x")).await;
            assert!(answer.contains("<error type='cancel'><conflict"), "{answer}");
            let answer = ask(&mut link, &account("", "x")).await;
            assert!(answer.contains("<error type='modify'><not-acceptable"), "{answer}");
            let answer = ask(&mut link, &account("newcomer", "first")).await;
            assert!(answer.contains("type='result'") && !answer.contains(" to="), "{answer}");
            assert!(plain(&mut link, "newcomer", "first").await.contains("<success"));
            link.open().await;
            link.bind("a").await;
            let known = ask(&mut link, &query("get", "")).await;
            assert!(known.contains("<registered/><username>newcomer</username>"), "{known}");
            let answer = ask(&mut link, &account("user02", "mine")).await;
            assert!(answer.contains("<not-allowed"), "{answer}");
            let answer = ask(&mut link, &account("newcomer", "second")).await;
            assert!(answer.contains("type='result'"), "{answer}");

            let mut other = opened(&server, &authority, None).await;
            assert!(plain(&mut other, "newcomer", "first").await.contains("<failure"));
            other.until("</failure>").await;
            assert!(plain(&mut other, "newcomer", "second").await.contains("<success"));
            let answer = ask(&mut link, &query("set", "<remove/>")).await;
            assert!(answer.contains("type='result'"), "{answer}");
            for link in [&mut link, &mut other] {
                assert!(
                    link.rest()
                        .await
                        .contains("<not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>")
                );
            }
            let mut link = opened(&server, &authority, None).await;
            assert!(plain(&mut link, "newcomer", "second").await.contains("<failure"));
        }
        assert_eq!(server.violations(), NONE);
    }

    #[tokio::test]
    async fn registration_can_ask_for_more_be_refused_hidden_or_absent() {
        let authority = Authority::new();
        let server = modern(&authority).await;
        let change = |change: fn(&mut epode_devserver::Registration)| {
            let control = server.control();
            control.change_authentication(|options| change(options.registration.as_mut().unwrap()));
        };
        change(|terms| terms.extra_field = Some("email".into()));
        let mut link = opened(&server, &authority, None).await;
        let fields = ask(&mut link, &query("get", "")).await;
        assert!(fields.contains("<password/><email/></query>"), "{fields}");
        let answer = ask(&mut link, &account("newcomer", "x")).await;
        assert!(answer.contains("<not-acceptable"), "{answer}");
        let fields = "<username>newcomer</username><password>x</password><email>a@b</email>";
        let whole = query("set", fields);
        change(|terms| terms.refusal = Some("resource-constraint"));
        let answer = ask(&mut link, &whole).await;
        assert!(answer.contains("<error type='cancel'><resource-constraint"), "{answer}");
        change(|terms| terms.refusal = None);
        assert!(ask(&mut link, &whole).await.contains("type='result'"));
        change(|terms| terms.hidden = true);
        let mut link = Link::connect(&server, Transport::WebSocket, &authority, None).await;
        assert!(!link.open().await.contains("iq-register"));
        assert_eq!(server.violations(), NONE);
        server
            .control()
            .change_authentication(|options| options.registration = None);
        link.send(&query("get", "")).await;
        assert!(link.rest().await.contains("<not-authorized"));
    }

    #[tokio::test]
    async fn over_bosh_an_account_is_made_and_removed_too() {
        let authority = Authority::new();
        let server = modern(&authority).await;
        let mut client = Client::create(Connection::open(&server, &authority, None).await).await;
        let answer = client.send(&account("newcomer", "newcomer's password")).await;
        assert!(answer.contains("type='result' id='q'"), "{answer}");
        assert!(client.plain("newcomer").await.contains("<success"));
        client.bind("a").await;
        let answer = client.send(&query("set", "<remove/>")).await;
        assert!(
            answer.contains("type='result'") && answer.contains("<not-authorized"),
            "{answer}"
        );
        assert!(answer.contains("condition='remote-stream-error'"), "{answer}");
        assert_eq!(server.violations(), NONE);
    }

    #[tokio::test]
    async fn a_certificate_of_ones_own_logs_in_until_it_is_taken_back() {
        let authority = Authority::new();
        let server = modern(&authority).await;
        let (laptop, bot) = (self_signed(&[]), self_signed(&["eve@localhost"]));
        let (_, answer) = external(&server, &authority, &laptop, "=").await;
        assert!(answer.contains("<failure"), "{answer}");

        let mut link = Link::online(&server, Transport::DirectTls, &authority, "user01", "a").await;
        let disco = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
        let features = ask(
            &mut link,
            &format!("<iq {CLIENT} type='get' id='q' to='localhost'>{disco}</iq>"),
        )
        .await;
        assert!(features.contains("<feature var='urn:xmpp:saslcert:1'/>"), "{features}");
        for (request, answer) in [
            (append("laptop", &laptop, ""), "type='result'"),
            (append("laptop", &bot, ""), "<conflict"),
            (append("", &bot, ""), "<bad-request"),
            (
                manage("set", "append", "<name>x</name><x509cert>AAAA</x509cert>"),
                "<bad-request",
            ),
            (append("bot", &bot, "<no-cert-management/>"), "type='result'"),
            (manage("set", "disable", "<name>x</name>"), "<item-not-found"),
        ] {
            let answered = ask(&mut link, &request).await;
            assert!(answered.contains(answer), "{answered} to {request}");
        }
        let items = ask(&mut link, &manage("get", "items", "")).await;
        let der = STANDARD.encode(&laptop.0[0]);
        let item = format!("<item><name>laptop</name><x509cert>{der}</x509cert></item><item><name>bot</name>");
        assert!(items.contains(&item), "{items}");

        // Whose account it is: not the name in the certificate says so, but who registered it.
        let (mut on_bot, answer) = external(&server, &authority, &bot, "=").await;
        assert!(answer.contains("<success"), "{answer}");
        on_bot.open().await;
        assert_eq!(on_bot.bind("bot").await, "user01@localhost/bot");
        let answer = ask(&mut on_bot, &manage("get", "items", "")).await;
        assert!(answer.contains("<forbidden"), "{answer}");
        let answer = ask(&mut on_bot, &account("user01", "taken over")).await;
        assert!(answer.contains("<not-authorized"), "{answer}");
        let foreign = STANDARD.encode("user02@localhost");
        let (_, answer) = external(&server, &authority, &laptop, &foreign).await;
        assert!(answer.contains("<invalid-authzid"), "{answer}");
        let (mut on_laptop, answer) =
            external(&server, &authority, &laptop, &STANDARD.encode("user01@localhost")).await;
        assert!(answer.contains("<success"), "{answer}");
        on_laptop.open().await;
        on_laptop.bind("laptop").await;

        // Disabling leaves streams alone; revoking ends them.
        for (verb, name) in [("disable", "laptop"), ("revoke", "bot")] {
            let answer = ask(&mut link, &manage("set", verb, &format!("<name>{name}</name>"))).await;
            assert!(answer.contains("type='result'"), "{answer}");
        }
        assert!(on_bot.rest().await.contains("<not-authorized"));
        on_laptop.ping("p").await;
        for identity in [&laptop, &bot] {
            let (_, answer) = external(&server, &authority, identity, "=").await;
            assert!(answer.contains("<failure"), "{answer}");
        }
        assert_eq!(server.violations(), NONE);
    }

    #[tokio::test]
    async fn a_certificate_of_several_users_needs_to_say_which() {
        let authority = Authority::new();
        let server = modern(&authority).await;
        let shared = authority.client(&["user01@localhost"], Validity::Expired);
        let good = self_signed(&[]);
        for user in ["user01", "user02"] {
            let mut link = Link::online(&server, Transport::DirectTls, &authority, user, "a").await;
            for (name, identity) in [("old", &shared), ("good", &good)] {
                let answer = ask(&mut link, &append(name, identity, "")).await;
                assert!(answer.contains("type='result'"), "{answer}");
            }
        }
        let (_, answer) = external(&server, &authority, &good, "=").await;
        assert!(answer.contains("<invalid-authzid"), "{answer}");
        let second = STANDARD.encode("user02@localhost");
        let (mut link, answer) = external(&server, &authority, &good, &second).await;
        assert!(answer.contains("<success"), "{answer}");
        link.open().await;
        assert_eq!(link.bind("b").await, "user02@localhost/b");
        let (_, answer) = external(&server, &authority, &shared, &second).await;
        assert!(!answer.contains("<success"), "it is past its time: {answer}");
    }
}
