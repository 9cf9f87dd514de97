//! Tokens of XEP-0484: the mechanisms HT-SHA-256-* (draft-schmaus-kitten-sasl-ht-09).

use subtle::ConstantTimeEq;

use super::{Circumstances, MALFORMED, Proved, Step};
use crate::accounts::{Accounts, Token};
use crate::authentication::{END_POINT, EXPORTER};
use crate::personality::Refusal;
use crate::{Authentication, ScramHash};

const UNKNOWN: Refusal = Refusal::Because("not-authorized", None);
const EXPIRED: Refusal = Refusal::Because("credentials-expired", None);

/// What of the channel goes into the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binding {
    None,
    Exporter,
    EndPoint,
}

impl Binding {
    pub(crate) fn by_mechanism(name: &str) -> Option<Self> {
        match name.strip_prefix("HT-SHA-256-")? {
            "NONE" => Some(Self::None),
            "EXPR" => Some(Self::Exporter),
            "ENDP" => Some(Self::EndPoint),
            _ => None,
        }
    }

    fn mechanism(self) -> &'static str {
        match self {
            Self::None => "HT-SHA-256-NONE",
            Self::Exporter => "HT-SHA-256-EXPR",
            Self::EndPoint => "HT-SHA-256-ENDP",
        }
    }

    fn data<'a>(self, now: &'a Circumstances<'_>) -> Option<&'a [u8]> {
        match self {
            Self::None => Some(b""),
            Self::Exporter => now.peer.bindings.get(EXPORTER),
            Self::EndPoint => now.peer.bindings.get(END_POINT),
        }
    }
}

/// `authcid NUL HMAC(token, "Initiator" + binding)`.
pub(super) fn login(binding: Binding, message: &[u8], accounts: &mut Accounts, now: &Circumstances<'_>) -> Step {
    let mut parts = message.splitn(2, |byte| *byte == 0);
    let user = parts.next().and_then(|user| core::str::from_utf8(user).ok());
    let (Some(user), Some(proof)) = (user, parts.next()) else {
        return Step::Refuse(MALFORMED);
    };
    let Some(data) = binding.data(now) else {
        return Step::Refuse(UNKNOWN);
    };
    let genuine = |token: &&Token| {
        let expected = ScramHash::Sha256.hmac(token.secret.as_bytes(), &[b"Initiator", data].concat());
        // XEP-0484 §3: a token belongs to one installation and one mechanism.
        now.agent == Some(token.agent.as_str())
            && token.mechanism == binding.mechanism()
            && bool::from(expected.as_slice().ct_eq(proof))
    };
    let Some(token) = accounts.tokens(user).iter().find(genuine).cloned() else {
        return Step::Refuse(UNKNOWN);
    };
    if let Some(condition) = refusal(now.options) {
        return Step::Refuse(Refusal::Because(condition, None));
    }
    if token.expiry <= now.time {
        return Step::Refuse(EXPIRED);
    }
    // XEP-0484 §5.3: who could repeat the request could repeat the count too.
    if now.count.is_some_and(|count| count <= token.count) {
        return Step::Refuse(UNKNOWN);
    }
    let server = ScramHash::Sha256.hmac(token.secret.as_bytes(), &[b"Responder", data].concat());
    Step::Success(Proved {
        user: user.to_owned(),
        data: now.options.proof.of(server),
        certificate: None,
        token: Some(token.id),
    })
}

fn refusal(options: &Authentication) -> Option<&'static str> {
    options.fast.as_ref().and_then(|fast| fast.refusal)
}
