//! ANONYMOUS (RFC 4505) as XEP-0175 has it: nothing is said, not even a trace.

use super::{SaslError, ServerProof, State};
use crate::Secret;

/// An ANONYMOUS exchange.
#[derive(Debug)]
pub(crate) struct Anonymous {
    state: State<Step>,
}

#[derive(Debug)]
enum Step {
    Start,
    Sent,
    Answered,
    Done,
}

impl Anonymous {
    pub(crate) fn new() -> Self {
        Self {
            state: State::At(Step::Start),
        }
    }

    /// XEP-0175 §3: there is no initial response, which is not the same as one of no bytes.
    pub(crate) fn initial(&mut self) -> Result<(), SaslError> {
        self.state.advance(|step| match step {
            Step::Start => Ok((Step::Sent, ())),
            Step::Sent | Step::Answered | Step::Done => Err(SaslError::OutOfOrder),
        })
    }

    pub(crate) fn challenge(&mut self, data: &[u8]) -> Result<Secret, SaslError> {
        self.state.advance(|step| match step {
            // RFC 4505 §2: the message of the client is the trace, and may be of no bytes. A server that waits for it asks.
            Step::Sent if data.is_empty() => Ok((Step::Answered, Secret::default())),
            Step::Sent | Step::Answered => Err(SaslError::UnexpectedChallenge),
            Step::Start | Step::Done => Err(SaslError::OutOfOrder),
        })
    }

    pub(crate) fn success(&mut self, data: &[u8]) -> Result<ServerProof, SaslError> {
        self.state.advance(|step| match step {
            Step::Sent | Step::Answered if data.is_empty() => Ok((Step::Done, ServerProof::NotProvided)),
            Step::Sent | Step::Answered => Err(SaslError::UnexpectedSuccessData),
            Step::Start => Err(SaslError::SuccessTooEarly),
            Step::Done => Err(SaslError::OutOfOrder),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::Mechanism;
    use crate::sasl::vectors::{optional, rows, text};

    const VECTORS: &str = include_str!("../../../tests/vectors/plain_external.json");

    fn sent() -> Anonymous {
        let mut anonymous = Anonymous::new();
        anonymous.initial().unwrap();
        anonymous
    }

    #[test]
    fn says_nothing() {
        for row in rows(VECTORS, "anonymous") {
            assert_eq!(optional(&row, "text"), None);
            let mut mechanism = Mechanism::Anonymous(Anonymous::new());
            assert_eq!(
                mechanism.initial(),
                Ok(None),
                "no initial response, not one of no bytes"
            );
            assert_eq!(mechanism.success(None), Ok(ServerProof::NotProvided));
            let mut anonymous = sent();
            let answer = anonymous.challenge(text(&row, "challenge").as_bytes()).unwrap();
            assert_eq!(answer.expose(), text(&row, "answer").as_bytes());
            assert_eq!(anonymous.success(b""), Ok(ServerProof::NotProvided));
        }
    }

    #[test]
    fn takes_nothing_from_the_server() {
        assert_eq!(sent().challenge(b"x"), Err(SaslError::UnexpectedChallenge));
        assert_eq!(sent().success(b"x"), Err(SaslError::UnexpectedSuccessData));
        let mut anonymous = sent();
        anonymous.challenge(b"").unwrap();
        assert_eq!(anonymous.challenge(b""), Err(SaslError::UnexpectedChallenge));
        assert_eq!(
            anonymous.success(b""),
            Err(SaslError::UnexpectedChallenge),
            "an error is final"
        );
    }

    #[test]
    fn steps_out_of_order() {
        assert_eq!(Anonymous::new().success(b""), Err(SaslError::SuccessTooEarly));
        assert_eq!(Anonymous::new().challenge(b""), Err(SaslError::OutOfOrder));
        assert_eq!(sent().initial(), Err(SaslError::OutOfOrder));
        let mut anonymous = sent();
        anonymous.success(b"").unwrap();
        assert_eq!(anonymous.success(b""), Err(SaslError::OutOfOrder));
    }
}
