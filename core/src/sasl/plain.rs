//! PLAIN (RFC 4616): the password itself, for a server that TLS has verified.

use super::{SaslError, ServerProof, State, checked_authzid, prep};
use crate::Secret;

/// A PLAIN exchange.
#[derive(Debug)]
pub(crate) struct Plain {
    state: State<Step>,
}

#[derive(Debug)]
enum Step {
    Start { message: Secret },
    Sent,
    Done,
}

impl Plain {
    /// Prepares the name and the password (RFC 4616 §2).
    pub(crate) fn new(authzid: Option<&str>, authcid: &str, password: &Secret) -> Result<Self, SaslError> {
        let authzid = checked_authzid(authzid)?.unwrap_or_default();
        // SASLprep prohibits NUL, so the separators below are the only ones.
        let authcid = prep::username(authcid).map_err(SaslError::Username)?;
        let password = prep::password(password).map_err(SaslError::Password)?;
        Ok(Self::of(authzid, &authcid, password.expose()))
    }

    /// The message of parts that are prepared and have no NUL.
    pub(super) fn of(authzid: &str, authcid: &str, secret: &[u8]) -> Self {
        let message = [authzid.as_bytes(), authcid.as_bytes(), secret].join(&0);
        Self {
            state: State::At(Step::Start {
                message: Secret::new(message),
            }),
        }
    }

    pub(crate) fn initial(&mut self) -> Result<Secret, SaslError> {
        self.state.advance(|step| match step {
            Step::Start { message } => Ok((Step::Sent, message)),
            Step::Sent | Step::Done => Err(SaslError::OutOfOrder),
        })
    }

    /// RFC 4616 §2: the mechanism is one message of the client, and the server has nothing to ask.
    pub(crate) fn challenge(&mut self) -> Result<Secret, SaslError> {
        self.state.advance(|step| match step {
            Step::Sent => Err(SaslError::UnexpectedChallenge),
            Step::Start { .. } | Step::Done => Err(SaslError::OutOfOrder),
        })
    }

    pub(crate) fn success(&mut self, data: &[u8]) -> Result<ServerProof, SaslError> {
        self.state.advance(|step| match step {
            Step::Sent if data.is_empty() => Ok((Step::Done, ServerProof::NotProvided)),
            Step::Sent => Err(SaslError::UnexpectedSuccessData),
            Step::Start { .. } => Err(SaslError::SuccessTooEarly),
            Step::Done => Err(SaslError::OutOfOrder),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::encoding::initial_response_text;
    use crate::sasl::vectors::{optional, rows, text};

    const VECTORS: &str = include_str!("../../../tests/vectors/plain_external.json");

    fn plain(row: &serde_json::Value) -> Result<Plain, SaslError> {
        Plain::new(
            optional(row, "authzid").as_deref(),
            &text(row, "authcid"),
            &Secret::from(text(row, "password")),
        )
    }

    fn sent() -> Plain {
        let mut plain = Plain::new(None, "user", &Secret::from("pencil")).unwrap();
        plain.initial().unwrap();
        plain
    }

    #[test]
    fn says_name_and_password() {
        for row in rows(VECTORS, "plain") {
            let mut plain = plain(&row).unwrap();
            assert_eq!(
                *initial_response_text(plain.initial().unwrap().expose()),
                text(&row, "text"),
                "{row}"
            );
            assert_eq!(plain.success(b""), Ok(ServerProof::NotProvided), "{row}");
        }
    }

    #[test]
    fn refuses_what_cannot_be_said() {
        for row in rows(VECTORS, "plain_refused") {
            // The variant's name is the field's.
            let error = std::format!("{:?}", plain(&row).unwrap_err());
            let field = error.split('(').next().unwrap().to_lowercase();
            assert_eq!(field, text(&row, "error"), "{row}");
        }
    }

    #[test]
    fn takes_nothing_from_the_server() {
        assert_eq!(sent().challenge(), Err(SaslError::UnexpectedChallenge));
        assert_eq!(sent().success(b"x"), Err(SaslError::UnexpectedSuccessData));
        let mut plain = sent();
        plain.challenge().unwrap_err();
        assert_eq!(
            plain.success(b""),
            Err(SaslError::UnexpectedChallenge),
            "an error is final"
        );
    }

    #[test]
    fn steps_out_of_order() {
        let mut plain = Plain::new(None, "user", &Secret::from("pencil")).unwrap();
        assert_eq!(plain.success(b""), Err(SaslError::SuccessTooEarly));
        let mut plain = sent();
        assert_eq!(plain.initial(), Err(SaslError::OutOfOrder), "the password is said once");
        let mut plain = sent();
        plain.success(b"").unwrap();
        assert_eq!(plain.success(b""), Err(SaslError::OutOfOrder));
    }
}
