//! PLAIN, EXTERNAL, ANONYMOUS, OAUTHBEARER, X-OAUTH2 and HT: what a client says is what the vectors say.

use epode::config::MechanismPolicy;
use epode::{Authzid, ChannelBindings, Credentials, Input};
use serde_json::Value;

use crate::life::Life;
use crate::login::{SASL1, authentication, bindings, fast, info, mechanisms, of};
use crate::scram::scram2;

/// The rows of a vector file.
fn rows(file: &str, name: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(file).unwrap();
    all[name].as_array().unwrap().clone()
}

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap_or_else(|| panic!("{field} in {row}"))
}

const PLAIN_EXTERNAL: &str = include_str!("../../../tests/vectors/plain_external.json");
const OAUTH: &str = include_str!("../../../tests/vectors/oauth.json");
const HT: &str = include_str!("../../../tests/vectors/ht.json");

fn with_plain() -> MechanismPolicy {
    MechanismPolicy {
        allow_plain: true,
        ..MechanismPolicy::default()
    }
}

/// One login by SASL of RFC 6120, whose first message must be this; and the log of it.
fn login(jid: &str, config: epode::Config, mechanism: &str, message: &str, name: &str) {
    let domain = jid.rsplit('@').next().unwrap().to_owned();
    let mut life = Life::begin(
        config,
        info(&domain, ChannelBindings::default()),
        &mechanisms(&[mechanism]),
    );
    let said = life.text_of("auth ");
    assert_eq!(said, message, "{name}");
    let full = match jid.contains('@') {
        true => format!("{jid}/r"),
        false => format!("somebody@{jid}/r"),
    };
    life.succeed("", &full);
    life.end().golden(name);
}

/// Those with an authorization identity are not what this client sends.
#[test]
fn plain() {
    let mut played = 0;
    for row in rows(PLAIN_EXTERNAL, "plain") {
        if !row["authzid"].is_null() {
            continue;
        }
        played += 1;
        // RFC 8265 §3.3 does not have the soft hyphen, which SASLprep takes out: an address cannot hold it.
        let jid = format!("{}@example.org", text(&row, "authcid").replace('\u{ad}', ""));
        let config = of(&jid, Credentials::password(text(&row, "password"))).mechanisms(with_plain());
        let name = format!("plain-{played}");
        login(&jid, config.build().unwrap(), "PLAIN", text(&row, "text"), &name);
    }
    assert_eq!(played, 3);
}

#[test]
fn external() {
    for (index, row) in rows(PLAIN_EXTERNAL, "external").iter().enumerate() {
        let (jid, authzid) = match row["authzid"].as_str() {
            Some(jid) => (jid, Authzid::Always),
            None => ("user01@debian", Authzid::Never),
        };
        let config = of(jid, Credentials::certificate("the certificate", None)).authzid(authzid);
        let name = format!("external-{}", index + 1);
        login(jid, config.build().unwrap(), "EXTERNAL", text(row, "text"), &name);
    }
}

#[test]
fn anonymous() {
    let row = &rows(PLAIN_EXTERNAL, "anonymous")[0];
    assert!(row["text"].is_null());
    let config = of("anon.example.org", Credentials::Anonymous).build().unwrap();
    login("anon.example.org", config, "ANONYMOUS", "", "anonymous");
}

#[test]
fn access_tokens() {
    let mut played = 0;
    for row in rows(OAUTH, "bearer") {
        // The account is always named.
        let Some(jid) = row["authzid"].as_str() else { continue };
        played += 1;
        let config = of(jid, Credentials::access_token(text(&row, "token"))).build().unwrap();
        let name = format!("oauthbearer-{played}");
        login(jid, config, "OAUTHBEARER", text(&row, "message_base64"), &name);
    }
    assert_eq!(played, 2);
    let row = &rows(OAUTH, "x_oauth2")[0];
    let jid = format!("{}@example.org", text(row, "user"));
    let config = of(&jid, Credentials::access_token(text(row, "token"))).build().unwrap();
    login(&jid, config, "X-OAUTH2", text(row, "text"), "x-oauth2");
}

/// RFC 7628 §3.2.2: all refusals, in one life that begins anew after each.
#[test]
fn refused_access_tokens() {
    let jid = "user@example.com";
    let config = of(jid, Credentials::access_token("tok-123")).build().unwrap();
    let mut life = Life::new(config);
    for row in rows(OAUTH, "failures") {
        life.outputs.clear();
        life.input(Input::Start);
        life.connect(
            info("example.com", ChannelBindings::default()),
            &mechanisms(&["OAUTHBEARER"]),
        );
        life.said.clear();
        life.answer(&format!(
            "<challenge xmlns='{SASL1}'>{}</challenge>",
            text(&row, "challenge_base64")
        ));
        // A client that cannot read the challenge ends the login itself; one that can answers it, and is refused.
        if !life.is_over() {
            life.answer(&format!("<failure xmlns='{SASL1}'><not-authorized/></failure>"));
        }
        if !life.is_over() {
            life.answer("</stream:stream>");
        }
        let reason = life.reason();
        for field in ["status", "scope", "openid_configuration"] {
            if let Some(shown) = row[field].as_str().filter(|shown| !shown.contains('\\')) {
                assert!(reason.contains(shown), "{}: {reason}", text(&row, "name"));
            }
        }
        life.now += 1_000;
    }
    life.golden("oauthbearer-refused");
}

/// XEP-0484: a login by password brings the token, and the next one is by it.
#[test]
fn login_tokens() {
    for (index, row) in rows(HT, "exchanges").iter().enumerate() {
        let jid = format!("{}@example.org", text(row, "authcid"));
        let mechanism = text(row, "mechanism");
        let data = (0..text(row, "channel_binding").len() / 2)
            .map(|at| u8::from_str_radix(&text(row, "channel_binding")[2 * at..][..2], 16).unwrap())
            .collect::<Vec<u8>>();
        let data = Some(data).filter(|data| !data.is_empty());
        let bound_to = data.clone().unwrap_or_default();
        let (mut bound, mut tls) = (ChannelBindings::default(), "1.3");
        let kind = match mechanism.rsplit('-').next().unwrap() {
            "EXPR" => {
                bound.tls_exporter = data;
                Some("tls-exporter")
            }
            "UNIQ" => {
                (bound.tls_unique, tls) = (data, "1.2");
                Some("tls-unique")
            }
            "ENDP" => {
                bound.tls_server_end_point = data;
                Some("tls-server-end-point")
            }
            _ => None,
        };
        let mut link = info("example.org", bound);
        link.tls_version = Some(tls.to_owned());
        let by = if kind.is_some() {
            "SCRAM-SHA-256-PLUS"
        } else {
            "SCRAM-SHA-256"
        };
        let mut features = authentication(&[by], &format!("{}<bind xmlns='urn:xmpp:bind:0'/>", fast(&[mechanism])));
        if let Some(kind) = kind {
            features.push_str(&bindings(&[kind]));
        }
        let config = of(&jid, Credentials::password("pencil"));
        let mut life = Life::begin(config.build().unwrap(), link.clone(), &features);
        let asked = format!("<request-token xmlns='urn:xmpp:fast:0' mechanism='{mechanism}'/>");
        assert!(life.said.contains(&asked), "{}", life.said);
        let token = format!(
            "<bound xmlns='urn:xmpp:bind:0'/><token xmlns='urn:xmpp:fast:0' token='{}' expiry='2026-02-01T00:00:00Z'/>",
            text(row, "token")
        );
        let full = format!("{jid}/r");
        let proof = scram2(&mut life, by, &bound_to);
        life.succeed2(&proof, &full, &token);
        let ended = life.link;
        life.input(Input::Ended { link: ended });
        life.until_next_link();
        life.said.clear();
        life.connect(link, &features);
        assert!(life.said.contains(&format!("mechanism='{mechanism}'")), "{}", life.said);
        assert_eq!(
            life.text_of("initial-response"),
            text(row, "initial_base64"),
            "{}",
            text(row, "name")
        );
        life.succeed2(text(row, "success_base64"), &full, "<bound xmlns='urn:xmpp:bind:0'/>");
        life.end().golden(&format!("ht-{}", index + 1));
    }
}
