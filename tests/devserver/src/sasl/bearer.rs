//! Tokens of OAuth: OAUTHBEARER (RFC 7628) and X-OAUTH2.

use subtle::ConstantTimeEq;

use super::scram::saslname;
use super::{BAD_AUTHZID, Circumstances, Exchange, MALFORMED, Proved, Step, bare, local_part};
use crate::personality::Refusal;
use crate::{BearerToken, TokenState};

const UNKNOWN: Refusal = Refusal::Because("not-authorized", None);
const EXPIRED: Refusal = Refusal::Because("credentials-expired", None);

/// RFC 7628 §3.1: GS2 header, and then pairs, each with a 0x01 after it, and one more at the end.
pub(super) fn oauthbearer(message: &[u8], now: &Circumstances<'_>) -> Step {
    let Some((authzid, token)) = core::str::from_utf8(message).ok().and_then(read) else {
        return Step::Refuse(MALFORMED);
    };
    let known = find(&token, now);
    match known.map(|known| &known.state) {
        Some(TokenState::Good) => succeed(known, authzid.as_deref(), now),
        Some(TokenState::Expired) => explain("invalid_token", None, EXPIRED, now),
        Some(TokenState::WrongScope(scope)) => explain("insufficient_scope", Some(scope), UNKNOWN, now),
        None => explain("invalid_token", None, UNKNOWN, now),
    }
}

/// `NUL user NUL token`.
pub(super) fn x_oauth2(message: &[u8], now: &Circumstances<'_>) -> Step {
    let text = core::str::from_utf8(message).unwrap_or_default();
    let parts: Vec<&str> = text.split('\0').collect();
    let [_, user, token] = parts.as_slice() else {
        return Step::Refuse(MALFORMED);
    };
    let known = find(token, now).filter(|known| known.user == *user);
    match known.map(|known| &known.state) {
        Some(TokenState::Good) => succeed(known, None, now),
        Some(TokenState::Expired) => Step::Refuse(EXPIRED),
        Some(TokenState::WrongScope(_)) | None => Step::Refuse(UNKNOWN),
    }
}

fn find<'a>(token: &str, now: &'a Circumstances<'_>) -> Option<&'a BearerToken> {
    let same = |known: &&BearerToken| bool::from(known.token.as_bytes().ct_eq(token.as_bytes()));
    now.options.bearer_tokens.iter().find(same)
}

fn succeed(known: Option<&BearerToken>, authzid: Option<&str>, now: &Circumstances<'_>) -> Step {
    let user = known.map(|known| known.user.as_str()).unwrap_or_default();
    match authzid {
        Some(authzid) if local_part(&bare(authzid), now.domain) != Some(user) => Step::Refuse(BAD_AUTHZID),
        Some(_) | None => Step::Success(Proved::user(user)),
    }
}

/// RFC 7628 §3.2.2: the reason in JSON. The refusal follows when the client has acknowledged it.
fn explain(status: &str, scope: Option<&str>, why: Refusal, now: &Circumstances<'_>) -> Step {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut json = format!("{{\"status\":{}", quoted(status));
    if let Some(scope) = scope {
        json.push_str(&format!(",\"scope\":{}", quoted(scope)));
    }
    if let Some(address) = &now.options.openid_configuration {
        json.push_str(&format!(",\"openid-configuration\":{}", quoted(address)));
    }
    json.push('}');
    Step::Challenge(json.into_bytes(), Exchange::Refused(why))
}

/// The authorization identity and the token.
fn read(message: &str) -> Option<(Option<String>, String)> {
    let (header, rest) = message.split_once('\u{1}')?;
    let pairs = rest
        .strip_suffix('\u{1}')
        .filter(|pairs| pairs.is_empty() || pairs.ends_with('\u{1}'))?;
    let mut parts = header.split(',');
    let (flag, authzid, end) = (parts.next()?, parts.next()?, parts.next()?);
    // RFC 7628 §3.1: no channel binding.
    if !matches!(flag, "n" | "y") || !end.is_empty() || parts.next().is_some() {
        return None;
    }
    let authzid = match authzid {
        "" => None,
        authzid => Some(saslname(authzid.strip_prefix("a=")?)?),
    };
    let mut token = None;
    for pair in pairs.split_terminator('\u{1}') {
        let (key, value) = pair.split_once('=')?;
        if key == "auth" {
            // RFC 7628 §4.3: without a value, the client asks what it would need.
            let (scheme, value) = value.split_once(' ').unwrap_or(("bearer", value));
            token = Some(value.to_owned()).filter(|_| scheme.eq_ignore_ascii_case("bearer"));
        }
    }
    Some((authzid, token?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7628_is_read_and_what_is_not_whole_is_not() {
        let example = "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmT\x01\x01";
        let read_back = read(example).unwrap();
        assert_eq!(read_back, (Some("user@example.com".into()), "vF9dft4qmT".into()));
        for message in [
            "",
            "n,,\x01auth=Bearer x\x01",
            "p=tls-exporter,,\x01auth=Bearer x\x01\x01",
            "n,\x01auth=Bearer x\x01\x01",
            "n,,\x01auth=Basic x\x01\x01",
            "n,,\x01\x01",
        ] {
            assert_eq!(read(message), None, "{message:?}");
        }
    }
}
