//! EXTERNAL (RFC 4422 appendix A): the TLS client certificate is the credential, and only the identity to act as is said.

use alloc::string::String;

use super::{SaslError, ServerProof, State, checked_authzid};
use crate::Secret;

/// An EXTERNAL exchange.
#[derive(Debug)]
pub(crate) struct External {
    authzid: String,
    state: State<Step>,
}

#[derive(Debug)]
enum Step {
    Start,
    Sent,
    Repeated,
    Done,
}

impl External {
    /// `None` lets the server take the identity from the certificate (XEP-0178 §2).
    pub(crate) fn new(authzid: Option<&str>) -> Result<Self, SaslError> {
        let authzid = checked_authzid(authzid)?.unwrap_or_default();
        Ok(Self {
            authzid: authzid.into(),
            state: State::At(Step::Start),
        })
    }

    pub(crate) fn initial(&mut self) -> Result<Secret, SaslError> {
        let message = Secret::from(self.authzid.as_str());
        self.state.advance(|step| match step {
            Step::Start => Ok((Step::Sent, message)),
            Step::Sent | Step::Repeated | Step::Done => Err(SaslError::OutOfOrder),
        })
    }

    pub(crate) fn challenge(&mut self, data: &[u8]) -> Result<Secret, SaslError> {
        let message = Secret::from(self.authzid.as_str());
        self.state.advance(|step| match step {
            // RFC 4422 §A.1: an empty challenge asks for the initial response. Some servers ask although they have it: they get it again, once.
            Step::Sent if data.is_empty() => Ok((Step::Repeated, message)),
            Step::Sent | Step::Repeated => Err(SaslError::UnexpectedChallenge),
            Step::Start | Step::Done => Err(SaslError::OutOfOrder),
        })
    }

    pub(crate) fn success(&mut self, data: &[u8]) -> Result<ServerProof, SaslError> {
        self.state.advance(|step| match step {
            Step::Sent | Step::Repeated if data.is_empty() => Ok((Step::Done, ServerProof::NotProvided)),
            Step::Sent | Step::Repeated => Err(SaslError::UnexpectedSuccessData),
            Step::Start => Err(SaslError::SuccessTooEarly),
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

    fn sent() -> External {
        let mut external = External::new(Some("juliet@example.com")).unwrap();
        external.initial().unwrap();
        external
    }

    #[test]
    fn says_who_to_act_as() {
        for row in rows(VECTORS, "external") {
            let mut external = External::new(optional(&row, "authzid").as_deref()).unwrap();
            assert_eq!(
                *initial_response_text(external.initial().unwrap().expose()),
                text(&row, "text"),
                "{row}"
            );
            assert_eq!(external.success(b""), Ok(ServerProof::NotProvided), "{row}");
        }
        for row in rows(VECTORS, "external_refused") {
            assert_eq!(External::new(row.as_str()).unwrap_err(), SaslError::Authzid, "{row}");
        }
    }

    #[test]
    fn repeats_itself_once_for_an_empty_challenge() {
        let mut external = sent();
        assert_eq!(external.challenge(b""), Ok(Secret::from("juliet@example.com")));
        assert_eq!(external.success(b""), Ok(ServerProof::NotProvided));
        let mut external = sent();
        external.challenge(b"").unwrap();
        assert_eq!(external.challenge(b""), Err(SaslError::UnexpectedChallenge));
        assert_eq!(
            external.success(b""),
            Err(SaslError::UnexpectedChallenge),
            "an error is final"
        );
    }

    #[test]
    fn takes_no_data_from_the_server() {
        assert_eq!(sent().challenge(b"x"), Err(SaslError::UnexpectedChallenge));
        assert_eq!(sent().success(b"x"), Err(SaslError::UnexpectedSuccessData));
    }

    #[test]
    fn steps_out_of_order() {
        assert_eq!(
            External::new(None).unwrap().success(b""),
            Err(SaslError::SuccessTooEarly)
        );
        assert_eq!(External::new(None).unwrap().challenge(b""), Err(SaslError::OutOfOrder));
        let mut external = sent();
        external.success(b"").unwrap();
        assert_eq!(external.success(b""), Err(SaslError::OutOfOrder));
    }
}
