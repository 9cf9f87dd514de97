//! OAUTHBEARER (RFC 7628) and X-OAUTH2: an access token, which is said as it is, for a server that TLS has verified.

use alloc::{
    format,
    string::{String, ToString},
};

use serde_json::Value;
use zeroize::Zeroizing;

use super::{Plain, SaslError, ServerProof, State, checked_authzid, prep, scram, shown};
use crate::Secret;

/// What a server says about a refused token has no reason to be longer or deeper (RFC 7628 §3.2.2 has one flat object).
const MAX_FAILURE: usize = 8 * 1024;
const MAX_DEPTH: usize = 4;
/// So much of each field is shown.
const MAX_FIELD: usize = 256;

/// An OAUTHBEARER exchange.
#[derive(Debug)]
pub(crate) struct OauthBearer {
    failure: Option<TokenFailure>,
    state: State<Step>,
}

#[derive(Debug)]
enum Step {
    Start { message: Secret },
    Sent,
    // The server has said what is wrong with the token; only its failure can follow.
    Refused,
    Done,
}

/// What the server said about a token that it does not take (RFC 7628 §3.2.2). Each text is the server's: escaped and cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenFailure {
    pub(crate) status: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) openid_configuration: Option<String>,
}

impl OauthBearer {
    pub(crate) fn new(authzid: Option<&str>, token: &Secret) -> Result<Self, SaslError> {
        let authzid = checked_authzid(authzid)?.map(|name| format!("a={}", scram::escaped(name)));
        let token = checked_token(token)?;
        // RFC 7628 §3.1: the header of GS2, without channel binding. A bearer token needs neither host nor port (§4.1).
        let header = format!("n,{},\u{1}auth=Bearer ", authzid.unwrap_or_default());
        let message = Secret::new([header.as_bytes(), token, b"\x01\x01"].concat());
        Ok(Self {
            failure: None,
            state: State::At(Step::Start { message }),
        })
    }

    /// Why the server does not take the token, once it has said so.
    pub(crate) fn failure(&self) -> Option<&TokenFailure> {
        self.failure.as_ref()
    }

    pub(crate) fn initial(&mut self) -> Result<Secret, SaslError> {
        self.state.advance(|step| match step {
            Step::Start { message } => Ok((Step::Sent, message)),
            Step::Sent | Step::Refused | Step::Done => Err(SaslError::OutOfOrder),
        })
    }

    /// RFC 7628 §3.2.3: a challenge is the server's reason for a failure, and one byte lets it go on to that.
    pub(crate) fn challenge(&mut self, data: &[u8]) -> Result<Secret, SaslError> {
        let failure = &mut self.failure;
        self.state.advance(|step| match step {
            Step::Sent => {
                *failure = Some(TokenFailure::parse(data));
                Ok((Step::Refused, Secret::new([1])))
            }
            Step::Refused => Err(SaslError::UnexpectedChallenge),
            Step::Start { .. } | Step::Done => Err(SaslError::OutOfOrder),
        })
    }

    pub(crate) fn success(&mut self, data: &[u8]) -> Result<ServerProof, SaslError> {
        self.state.advance(|step| match step {
            Step::Sent if data.is_empty() => Ok((Step::Done, ServerProof::NotProvided)),
            Step::Sent => Err(SaslError::UnexpectedSuccessData),
            Step::Refused => Err(SaslError::SuccessAfterRefusal),
            Step::Start { .. } => Err(SaslError::SuccessTooEarly),
            Step::Done => Err(SaslError::OutOfOrder),
        })
    }
}

impl TokenFailure {
    /// The login has failed whatever this says, so what cannot be read is left out.
    fn parse(data: &[u8]) -> Self {
        if data.len() > MAX_FAILURE || is_deeper_than(data, MAX_DEPTH) {
            return Self::default();
        }
        let Ok(Value::Object(fields)) = serde_json::from_slice(data) else {
            return Self::default();
        };
        let field = |name: &str| match fields.get(name)? {
            Value::String(text) => Some(shown(text, MAX_FIELD)),
            // Some servers give a status of HTTP.
            Value::Number(number) => Some(shown(&number.to_string(), MAX_FIELD)),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        Self {
            status: field("status"),
            scope: field("scope"),
            openid_configuration: field("openid-configuration"),
        }
    }
}

/// Whether JSON nests deeper, before a parser sees it.
fn is_deeper_than(json: &[u8], most: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > most {
            return true;
        }
    }
    false
}

/// An X-OAUTH2 exchange: PLAIN, with the access token in the place of the password.
#[derive(Debug)]
pub(crate) struct XOauth2 {
    pub(super) exchange: Plain,
}

impl XOauth2 {
    pub(crate) fn new(user: &str, token: &Secret) -> Result<Self, SaslError> {
        let user: Zeroizing<String> = prep::username(user).map_err(SaslError::Username)?;
        Ok(Self {
            exchange: Plain::of("", &user, checked_token(token)?),
        })
    }
}

/// RFC 6750 §2.1: `b64token`, which has no space, no control character and nothing beyond ASCII; or the same in a URI of
/// RFC 8959 (`secret-token:`), as Prosody issues them.
fn checked_token(token: &Secret) -> Result<&[u8], SaslError> {
    let token = token.expose();
    let padding = token.iter().rev().take_while(|byte| **byte == b'=').count();
    let text = token.get(..token.len() - padding).unwrap_or_default();
    let is_fine = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/:%".contains(byte);
    if text.is_empty() || !text.iter().all(is_fine) {
        return Err(SaslError::Token);
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::encoding::initial_response_text;
    use crate::sasl::vectors::{base64, optional, rows, text};
    use crate::sasl::{Answer, Mechanism, PrepError};
    use serde_json::Value;

    const VECTORS: &str = include_str!("../../../tests/vectors/oauth.json");

    fn bearer(row: &Value) -> OauthBearer {
        let authzid = optional(row, "authzid");
        OauthBearer::new(authzid.as_deref(), &Secret::from(text(row, "token"))).unwrap()
    }

    fn sent() -> OauthBearer {
        let mut bearer = OauthBearer::new(None, &Secret::from("tok-123")).unwrap();
        bearer.initial().unwrap();
        bearer
    }

    #[test]
    fn says_the_token() {
        for row in rows(VECTORS, "bearer") {
            let mut bearer = bearer(&row);
            assert_eq!(
                bearer.initial().unwrap().expose(),
                base64(&row, "message_base64"),
                "{row}"
            );
            assert_eq!(bearer.success(b""), Ok(ServerProof::NotProvided), "{row}");
        }
    }

    /// RFC 7628 §3.1 lets host and port out where a token needs neither: the rest is the same.
    #[test]
    fn the_example_of_the_rfc_without_its_address() {
        for row in rows(VECTORS, "bearer_with_address") {
            let message = String::from_utf8(base64(&row, "message_base64")).unwrap();
            let parts = message.split_inclusive('\u{1}');
            let rest: String = parts
                .filter(|part| !part.starts_with("host=") && !part.starts_with("port="))
                .collect();
            assert_ne!(rest, message);
            assert_eq!(bearer(&row).initial(), Ok(Secret::from(rest)), "{row}");
        }
    }

    #[test]
    fn a_refused_token_is_answered_with_one_byte_and_can_never_succeed() {
        for row in rows(VECTORS, "failures") {
            let mut mechanism = Mechanism::OauthBearer(sent());
            assert_eq!(mechanism.token_failure(), None);
            assert_eq!(
                mechanism.challenge(&base64(&row, "challenge_base64")),
                Ok(Answer::Message(Secret::new([1]))),
                "{row}"
            );
            let failure = TokenFailure {
                status: optional(&row, "status"),
                scope: optional(&row, "scope"),
                openid_configuration: optional(&row, "openid_configuration"),
            };
            assert_eq!(mechanism.token_failure(), Some(&failure), "{row}");
            assert_eq!(mechanism.success(None), Err(SaslError::SuccessAfterRefusal), "{row}");
            assert_eq!(mechanism.token_failure(), Some(&failure), "it stays known");
        }
    }

    #[test]
    fn the_server_has_one_challenge() {
        let mut bearer = sent();
        bearer.challenge(b"{}").unwrap();
        assert_eq!(bearer.challenge(b"{}"), Err(SaslError::UnexpectedChallenge));
        assert_eq!(
            bearer.success(b""),
            Err(SaslError::UnexpectedChallenge),
            "an error is final"
        );
        assert_eq!(sent().success(b"x"), Err(SaslError::UnexpectedSuccessData));
    }

    #[test]
    fn says_user_and_token() {
        for row in rows(VECTORS, "x_oauth2") {
            let token = Secret::from(text(&row, "token"));
            let mut mechanism = Mechanism::XOauth2(XOauth2::new(&text(&row, "user"), &token).unwrap());
            let message = mechanism.initial().unwrap().unwrap();
            assert_eq!(*initial_response_text(message.expose()), text(&row, "text"), "{row}");
            assert_eq!(mechanism.success(None), Ok(ServerProof::NotProvided), "{row}");
        }
        let mut oauth = XOauth2::new("user", &Secret::from("t")).unwrap();
        oauth.exchange.initial().unwrap();
        assert_eq!(oauth.exchange.challenge(), Err(SaslError::UnexpectedChallenge));
    }

    #[test]
    fn what_cannot_be_a_login_is_refused() {
        for row in rows(VECTORS, "refused_tokens") {
            let token = Secret::from(row.as_str().unwrap());
            assert_eq!(OauthBearer::new(None, &token).unwrap_err(), SaslError::Token, "{row}");
            assert_eq!(XOauth2::new("user", &token).unwrap_err(), SaslError::Token, "{row}");
        }
        for fine in [
            "a.b-c_d~e+f/g==",
            "secret-token:Mjs7dXNlcg==",
            "secret-token:E92FB7EB%20x",
        ] {
            assert!(OauthBearer::new(None, &Secret::from(fine)).is_ok(), "{fine}");
        }
        let token = Secret::from("t");
        for row in rows(VECTORS, "refused_authzids") {
            let error = OauthBearer::new(row.as_str(), &token).unwrap_err();
            assert_eq!(error, SaslError::Authzid, "{row}");
        }
        assert_eq!(
            XOauth2::new("", &token).unwrap_err(),
            SaslError::Username(PrepError::Empty)
        );
        assert_eq!(
            XOauth2::new("u\0", &token).unwrap_err(),
            SaslError::Username(PrepError::Prohibited)
        );
    }

    #[test]
    fn steps_out_of_order() {
        let fresh = || OauthBearer::new(None, &Secret::from("t")).unwrap();
        assert_eq!(fresh().success(b""), Err(SaslError::SuccessTooEarly));
        assert_eq!(fresh().challenge(b"{}"), Err(SaslError::OutOfOrder));
        assert_eq!(sent().initial(), Err(SaslError::OutOfOrder), "the token is said once");
        let mut bearer = sent();
        bearer.success(b"").unwrap();
        assert_eq!(bearer.success(b""), Err(SaslError::OutOfOrder));
    }
}
