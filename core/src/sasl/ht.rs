//! HT-SHA-256-* (draft-schmaus-kitten-sasl-ht-09): both sides prove in one round trip that they know a token (XEP-0484).
//!
//! Later drafts have other messages; the names of the mechanisms are the same, and it is XEP-0484 that says which draft is meant.

use alloc::vec::Vec;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroize;

use super::{ChannelBindingType, SaslError, ServerProof, State, prep};
use crate::Secret;

/// A login by token.
#[derive(Debug)]
pub(crate) struct Ht {
    binding: Option<ChannelBindingType>,
    /// The server's proof may be missing. A wrong one is never accepted.
    allow_missing_proof: bool,
    state: State<Step>,
}

#[derive(Debug)]
enum Step {
    Start { message: Secret, proof: Secret },
    Sent { proof: Secret },
    // The proof came in a challenge; the success that follows must be empty.
    Proved,
    Done,
}

impl Ht {
    /// The token is the text that the server gave, as it stood there: nothing in it is decoded. `cb_data` are the channel's bytes,
    /// and none without a binding.
    pub(crate) fn new(
        binding: Option<ChannelBindingType>,
        authcid: &str,
        token: &Secret,
        cb_data: &[u8],
        allow_missing_proof: bool,
    ) -> Result<Self, SaslError> {
        // SASLprep prohibits NUL, so the separator below is the only one.
        let authcid = prep::username(authcid).map_err(SaslError::Username)?;
        if token.expose().is_empty() {
            return Err(SaslError::Token);
        }
        // Draft §3.1 and §3.2: HMAC(token, "Initiator" || cb-data), and the same with "Responder".
        let initiator = hmac(token, b"Initiator", cb_data)?;
        let proof = hmac(token, b"Responder", cb_data)?;
        let message = Secret::new([authcid.as_bytes(), &[0], initiator.expose()].concat());
        Ok(Self {
            binding,
            allow_missing_proof,
            state: State::At(Step::Start { message, proof }),
        })
    }

    /// The mechanism that binds a login by token to this.
    pub(crate) const fn mechanism(binding: Option<ChannelBindingType>) -> &'static str {
        match binding {
            None => "HT-SHA-256-NONE",
            Some(ChannelBindingType::TlsExporter) => "HT-SHA-256-EXPR",
            Some(ChannelBindingType::TlsUnique) => "HT-SHA-256-UNIQ",
            Some(ChannelBindingType::TlsServerEndPoint) => "HT-SHA-256-ENDP",
        }
    }

    /// What a mechanism of this name binds a login by token to; `None` if it is none of ours.
    pub(crate) fn binding_of(name: &str) -> Option<Option<ChannelBindingType>> {
        let bindings: Vec<Option<ChannelBindingType>> =
            [None].into_iter().chain(ChannelBindingType::ALL.map(Some)).collect();
        bindings.into_iter().find(|binding| Self::mechanism(*binding) == name)
    }

    pub(crate) fn name(&self) -> &'static str {
        Self::mechanism(self.binding)
    }

    pub(crate) fn channel_binding(&self) -> Option<ChannelBindingType> {
        self.binding
    }

    pub(crate) fn initial(&mut self) -> Result<Secret, SaslError> {
        self.state.advance(|step| match step {
            Step::Start { message, proof } => Ok((Step::Sent { proof }, message)),
            Step::Sent { .. } | Step::Proved | Step::Done => Err(SaslError::OutOfOrder),
        })
    }

    /// RFC 4422 §3.6: where a profile has no room for data in a success, the proof comes in a challenge before it.
    pub(crate) fn challenge(&mut self, data: &[u8]) -> Result<Secret, SaslError> {
        self.state.advance(|step| match step {
            Step::Sent { .. } if data.is_empty() => Err(SaslError::UnexpectedChallenge),
            Step::Sent { proof } => {
                verify(data, &proof)?;
                Ok((Step::Proved, Secret::default()))
            }
            Step::Proved => Err(SaslError::UnexpectedChallenge),
            Step::Start { .. } | Step::Done => Err(SaslError::OutOfOrder),
        })
    }

    pub(crate) fn success(&mut self, data: &[u8]) -> Result<ServerProof, SaslError> {
        let allow_missing_proof = self.allow_missing_proof;
        self.state.advance(|step| match step {
            Step::Sent { .. } if data.is_empty() && allow_missing_proof => Ok((Step::Done, ServerProof::LeftOut)),
            Step::Sent { .. } if data.is_empty() => Err(SaslError::MissingServerProof),
            Step::Sent { proof } => {
                verify(data, &proof)?;
                Ok((Step::Done, ServerProof::Verified))
            }
            Step::Proved if data.is_empty() => Ok((Step::Done, ServerProof::Verified)),
            Step::Proved => Err(SaslError::UnexpectedSuccessData),
            Step::Start { .. } => Err(SaslError::SuccessTooEarly),
            Step::Done => Err(SaslError::OutOfOrder),
        })
    }
}

fn verify(data: &[u8], proof: &Secret) -> Result<(), SaslError> {
    // `Secret` compares in constant time.
    if Secret::new(data) == *proof {
        Ok(())
    } else {
        Err(SaslError::WrongServerProof)
    }
}

fn hmac(token: &Secret, role: &[u8], cb_data: &[u8]) -> Result<Secret, SaslError> {
    // HMAC takes a key of any length: the error cannot happen.
    let mac = <Hmac<Sha256> as KeyInit>::new_from_slice(token.expose()).map_err(|_| SaslError::Token)?;
    let mut tag = mac.chain_update(role).chain_update(cb_data).finalize().into_bytes();
    let out = Secret::new(tag.to_vec());
    tag.as_mut_slice().zeroize();
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::PrepError;
    use crate::sasl::vectors::{base64, bytes, rows, text};
    use serde_json::Value;

    const VECTORS: &str = include_str!("../../../tests/vectors/ht.json");

    fn sent(row: &Value, allow_missing_proof: bool) -> Ht {
        let mut ht = Ht::new(
            Ht::binding_of(&text(row, "mechanism")).unwrap(),
            &text(row, "authcid"),
            &Secret::from(text(row, "token")),
            &bytes(row, "channel_binding"),
            allow_missing_proof,
        )
        .unwrap();
        assert_eq!(ht.name(), text(row, "mechanism"));
        assert_eq!(ht.initial().unwrap().expose(), base64(row, "initial_base64"), "{row}");
        ht
    }

    #[test]
    fn exchanges_match_to_the_byte() {
        for row in rows(VECTORS, "exchanges") {
            let proof = base64(&row, "success_base64");
            assert_eq!(sent(&row, false).success(&proof), Ok(ServerProof::Verified), "{row}");
            let mut ht = sent(&row, true);
            assert_eq!(ht.success(&proof), Ok(ServerProof::Verified), "{row}");
            assert_eq!(ht.success(&proof), Err(SaslError::OutOfOrder), "{row}");
        }
    }

    #[test]
    fn a_wrong_proof_always_fails() {
        for row in rows(VECTORS, "exchanges") {
            let proof = base64(&row, "success_base64");
            let initial = base64(&row, "initial_base64");
            let reflected = initial[initial.len() - 32..].to_vec();
            let mut flipped = proof.clone();
            flipped[31] ^= 1;
            let longer = [proof.as_slice(), b"x"].concat();
            for wrong in [
                reflected,
                flipped,
                longer,
                proof[..31].to_vec(),
                [0; 32].to_vec(),
                initial,
            ] {
                for allow_missing_proof in [false, true] {
                    let mut ht = sent(&row, allow_missing_proof);
                    assert_eq!(ht.success(&wrong), Err(SaslError::WrongServerProof), "{row}");
                    assert_eq!(
                        ht.success(&proof),
                        Err(SaslError::WrongServerProof),
                        "an error is final"
                    );
                    let mut ht = sent(&row, allow_missing_proof);
                    assert_eq!(ht.challenge(&wrong), Err(SaslError::WrongServerProof), "{row}");
                    assert_eq!(ht.success(b""), Err(SaslError::WrongServerProof), "an error is final");
                }
            }
        }
    }

    #[test]
    fn a_missing_proof_is_for_the_host_to_allow() {
        let row = rows(VECTORS, "exchanges").remove(0);
        assert_eq!(sent(&row, false).success(b""), Err(SaslError::MissingServerProof));
        assert_eq!(sent(&row, true).success(b""), Ok(ServerProof::LeftOut));
    }

    #[test]
    fn a_proof_may_come_as_a_challenge_before_an_empty_success() {
        let row = rows(VECTORS, "exchanges").remove(0);
        let proof = base64(&row, "success_base64");
        let mut ht = sent(&row, false);
        assert_eq!(ht.challenge(&proof), Ok(Secret::default()));
        assert_eq!(ht.success(b""), Ok(ServerProof::Verified));
        let mut ht = sent(&row, false);
        ht.challenge(&proof).unwrap();
        assert_eq!(ht.success(&proof), Err(SaslError::UnexpectedSuccessData));
        let mut ht = sent(&row, false);
        ht.challenge(&proof).unwrap();
        assert_eq!(ht.challenge(&proof), Err(SaslError::UnexpectedChallenge));
        assert_eq!(sent(&row, true).challenge(b""), Err(SaslError::UnexpectedChallenge));
    }

    #[test]
    fn names_and_bindings_belong_together() {
        for (binding, name) in [
            (None, "HT-SHA-256-NONE"),
            (Some(ChannelBindingType::TlsExporter), "HT-SHA-256-EXPR"),
            (Some(ChannelBindingType::TlsUnique), "HT-SHA-256-UNIQ"),
            (Some(ChannelBindingType::TlsServerEndPoint), "HT-SHA-256-ENDP"),
        ] {
            assert_eq!(Ht::mechanism(binding), name);
            assert_eq!(Ht::binding_of(name), Some(binding));
            let ht = Ht::new(binding, "user", &Secret::from("t"), b"x", false).unwrap();
            assert_eq!((ht.name(), ht.channel_binding()), (name, binding));
        }
        for other in ["HT-SHA-512-NONE", "HT-SHA-256-none", "HT-SHA-256-", "SCRAM-SHA-256", ""] {
            assert_eq!(Ht::binding_of(other), None, "{other}");
        }
    }

    #[test]
    fn what_cannot_be_a_login_is_refused() {
        let new = |authcid: &str, token: &str| Ht::new(None, authcid, &Secret::from(token), b"", false).unwrap_err();
        assert_eq!(new("user", ""), SaslError::Token);
        assert_eq!(new("", "t"), SaslError::Username(PrepError::Empty));
        assert_eq!(new("u\0", "t"), SaslError::Username(PrepError::Prohibited));
        let fresh = || Ht::new(None, "user", &Secret::from("t"), b"", true).unwrap();
        assert_eq!(fresh().success(b""), Err(SaslError::SuccessTooEarly));
        assert_eq!(fresh().challenge(b""), Err(SaslError::OutOfOrder));
        let mut ht = fresh();
        ht.initial().unwrap();
        assert_eq!(ht.initial(), Err(SaslError::OutOfOrder), "the proof is said once");
    }
}
