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
