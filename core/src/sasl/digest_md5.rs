//! DIGEST-MD5 (RFC 2831), which RFC 6331 made historic: for servers that have nothing better, where the host asks for it.
//!
//! Only authentication is ever agreed on (`qop=auth`): the security layers of the mechanism are not there.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use md5::{Digest, Md5};
use zeroize::{Zeroize, Zeroizing};

use super::directives::{Directives, malformed};
use super::{SaslError, ServerProof, State, checked_authzid, prep, scram, shown};
use crate::{Secret, config};

/// RFC 2831 §2.1.2: a digest-response has less than 4096 bytes.
const MAX_RESPONSE: usize = 4095;
/// So much of each realm is shown, and so many of them.
const MAX_REALM: usize = 64;
const MAX_REALMS: usize = 8;
/// There is one request for each nonce: no subsequent authentication (RFC 2831 §2.2).
const NONCE_COUNT: &[u8] = b"00000001";

/// A DIGEST-MD5 exchange.
#[derive(Debug)]
pub(crate) struct DigestMd5 {
    setup: Setup,
    state: State<Step>,
}

#[derive(Debug)]
struct Setup {
    authcid: String,
    password: Secret,
    authzid: Option<String>,
    domain: String,
    digest_uri: String,
    cnonce: String,
    realm: Option<String>,
    always_utf8: bool,
}

#[derive(Debug)]
enum Step {
    Start,
    Waiting,
    Responded {
        /// The `rspauth` that proves that the server knows the password.
        expected: Secret,
        /// The server has called a nonce stale, and may not do so again.
        renewed: bool,
    },
    // The proof came in a challenge; the success that follows must be empty.
    Proved,
    Done,
}

impl DigestMd5 {
    /// Prepares name and password. `domain` is that of the account; `cnonce` must be fresh and unpredictable:
    /// [`crate::random::Random::token`].
    pub(crate) fn new(
        authcid: &str,
        domain: &str,
        password: &Secret,
        authzid: Option<&str>,
        cnonce: String,
        settings: &config::DigestMd5,
    ) -> Result<Self, SaslError> {
        if cnonce.is_empty() || !scram::is_nonce(&cnonce) {
            return Err(SaslError::ClientNonce);
        }
        let authzid = checked_authzid(authzid)?.map(ToString::to_string);
        let authcid = prep::username(authcid).map_err(SaslError::Username)?.to_string();
        let password = prep::password(password).map_err(SaslError::Password)?;
        Ok(Self {
            setup: Setup {
                authcid,
                password,
                authzid,
                domain: domain.to_string(),
                // RFC 2831 §2.1.2: the service of RFC 6120 §13.8.1 and its name.
                digest_uri: ["xmpp/", domain].concat(),
                cnonce,
                realm: settings.realm.clone(),
                always_utf8: settings.always_utf8,
            },
            state: State::At(Step::Start),
        })
    }

    /// The server speaks first: there is no initial response.
    pub(crate) fn initial(&mut self) -> Result<(), SaslError> {
        self.state.advance(|step| match step {
            Step::Start => Ok((Step::Waiting, ())),
            Step::Waiting | Step::Responded { .. } | Step::Proved | Step::Done => Err(SaslError::OutOfOrder),
        })
    }

    pub(crate) fn challenge(&mut self, data: &[u8]) -> Result<Secret, SaslError> {
        let setup = &self.setup;
        self.state.advance(|step| match step {
            Step::Waiting => {
                let (message, expected) = setup.respond(&Challenge::new(&Directives::parse(data)?, setup)?)?;
                let renewed = false;
                Ok((Step::Responded { expected, renewed }, message))
            }
            Step::Responded { expected, renewed } => {
                let directives = Directives::parse(data)?;
                // RFC 2831 §2.1.1: the nonce had expired, and name and password were not wrong: the same again, once.
                if !renewed && directives.single("rspauth")?.is_none() && directives.is_stale()? {
                    let (message, expected) = setup.respond(&Challenge::new(&directives, setup)?)?;
                    let renewed = true;
                    return Ok((Step::Responded { expected, renewed }, message));
                }
                verify(&directives, &expected)?;
                Ok((Step::Proved, Secret::default()))
            }
            Step::Proved => Err(SaslError::UnexpectedChallenge),
            Step::Start | Step::Done => Err(SaslError::OutOfOrder),
        })
    }

    pub(crate) fn success(&mut self, data: &[u8]) -> Result<ServerProof, SaslError> {
        self.state.advance(|step| match step {
            Step::Responded { .. } if data.is_empty() => Err(SaslError::MissingServerProof),
            Step::Responded { expected, .. } => {
                verify(&Directives::parse(data)?, &expected)?;
                Ok((Step::Done, ServerProof::Verified))
            }
            Step::Proved if data.is_empty() => Ok((Step::Done, ServerProof::Verified)),
            Step::Proved => Err(SaslError::UnexpectedSuccessData),
            Step::Start | Step::Waiting => Err(SaslError::SuccessTooEarly),
            Step::Done => Err(SaslError::OutOfOrder),
        })
    }
}

impl Setup {
    /// The digest-response, and the `rspauth` that has to follow (RFC 2831 §2.1.2, §2.1.3).
    fn respond(&self, challenge: &Challenge) -> Result<(Secret, Secret), SaslError> {
        let charset = challenge.charset;
        let realm = self.realm(&challenge.realms)?;
        let uri = &self.digest_uri;
        let key = self.key(challenge, realm.as_deref().unwrap_or_default())?;
        let proof = |prefix: &str| {
            let action = hex(&digest(&[prefix.as_bytes(), uri.as_bytes()]));
            let parts = [
                &key[..],
                &challenge.nonce,
                NONCE_COUNT,
                self.cnonce.as_bytes(),
                b"auth",
                &action[..],
            ];
            hex(&digest(&[&Zeroizing::new(parts.join(&b':'))]))
        };

        let mut message = Zeroizing::new(Vec::new());
        put_quoted(&mut message, "username", &charset.on_the_wire(&self.authcid)?);
        if let Some(realm) = &realm {
            put_quoted(&mut message, ",realm", &charset.on_the_wire(realm)?);
        }
        put_quoted(&mut message, ",nonce", &challenge.nonce);
        put_quoted(&mut message, ",cnonce", self.cnonce.as_bytes());
        message.extend_from_slice(b",nc=");
        message.extend_from_slice(NONCE_COUNT);
        message.extend_from_slice(b",qop=auth");
        put_quoted(&mut message, ",digest-uri", uri.as_bytes());
        message.extend_from_slice(b",response=");
        message.extend_from_slice(&proof("AUTHENTICATE:"));
        if challenge.says_utf8 {
            message.extend_from_slice(b",charset=utf-8");
        }
        // RFC 2831 §2.1.2: UTF-8, whatever the charset.
        if let Some(authzid) = &self.authzid {
            put_quoted(&mut message, ",authzid", authzid.as_bytes());
        }
        if message.len() > MAX_RESPONSE {
            return Err(malformed(
                "a realm and a nonce that leave room for an answer of 4095 bytes",
            ));
        }
        Ok((Secret::new(message.as_slice()), Secret::new(proof(":").as_slice())))
    }

    /// HEX(H(A1)) of RFC 2831 §2.1.2.1.
    fn key(&self, challenge: &Challenge, realm: &str) -> Result<Zeroizing<Vec<u8>>, SaslError> {
        let charset = challenge.charset;
        // A password that is no UTF-8 was refused when it was prepared.
        let password = core::str::from_utf8(self.password.expose()).unwrap_or_default();
        let inner = digest(&[
            &charset.hashed(&self.authcid)?,
            b":",
            &charset.hashed(realm)?,
            b":",
            &charset.hashed(password)?,
        ]);
        let mut parts = Vec::from([&inner[..], b":", &challenge.nonce, b":", self.cnonce.as_bytes()]);
        if let Some(authzid) = &self.authzid {
            parts.extend([b":", authzid.as_bytes()]);
        }
        Ok(hex(&digest(&parts)))
    }

    /// RFC 2831 §2.1.2: one of those that the server offers. Without one there is none in the answer, and the hash has the empty text.
    fn realm(&self, offered: &[String]) -> Result<Option<String>, SaslError> {
        if self.realm.is_some() {
            return Ok(self.realm.clone());
        }
        match offered {
            [] => Ok(None),
            [only] => Ok(Some(only.clone())),
            several if several.contains(&self.domain) => Ok(Some(self.domain.clone())),
            several => Err(SaslError::Realm {
                offered: several
                    .iter()
                    .take(MAX_REALMS)
                    .map(|realm| shown(realm, MAX_REALM))
                    .collect(),
            }),
        }
    }
}

/// The server's proof, if `response` is what the client answers that has this password: for the replay of a log.
#[cfg(feature = "record")]
pub(crate) fn server_proof(challenge: &[u8], response: &[u8], password: &Secret) -> Option<Zeroizing<Vec<u8>>> {
    let said = Directives::parse(response).ok()?;
    let text = |name| {
        said.single(name)
            .ok()?
            .and_then(|value| core::str::from_utf8(value).ok())
    };
    let charset = match text("charset") {
        Some(_) => Charset::Utf8,
        None => Charset::Latin1,
    };
    let decoded = |name| charset.decoded(said.single(name).ok()??).ok();
    [false, true].into_iter().find_map(|always_utf8| {
        let setup = Setup {
            authcid: decoded("username")?,
            password: prep::password(password).ok()?,
            authzid: text("authzid").map(ToString::to_string),
            domain: String::new(),
            digest_uri: text("digest-uri")?.to_string(),
            cnonce: text("cnonce")?.to_string(),
            realm: decoded("realm"),
            always_utf8,
        };
        let challenge = Challenge::new(&Directives::parse(challenge).ok()?, &setup).ok()?;
        let (message, expected) = setup.respond(&challenge).ok()?;
        let proof = || Zeroizing::new([b"rspauth=", expected.expose()].concat());
        (message.expose() == response).then(proof)
    })
}

/// How text becomes bytes (RFC 2831 §2.1.1 on `charset`, §2.1.2.1 on the hash).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charset {
    /// The server did not say UTF-8: everything is ISO-8859-1.
    Latin1,
    /// The server said UTF-8: text that is ISO-8859-1 as a whole is hashed as such, and sent as UTF-8 all the same.
    Utf8,
    /// UTF-8 everywhere, whatever the server said: the host's wish.
    Always,
}

impl Charset {
    fn decoded(self, bytes: &[u8]) -> Result<String, SaslError> {
        match self {
            Self::Latin1 => Ok(bytes.iter().map(|byte| char::from(*byte)).collect()),
            Self::Utf8 | Self::Always => match core::str::from_utf8(bytes) {
                Ok(text) => Ok(text.to_string()),
                Err(_) => Err(malformed("a realm in UTF-8")),
            },
        }
    }

    fn on_the_wire(self, text: &str) -> Result<Zeroizing<Vec<u8>>, SaslError> {
        match self {
            Self::Latin1 => latin1(text).ok_or(SaslError::NotLatin1),
            Self::Utf8 | Self::Always => Ok(Zeroizing::new(text.as_bytes().to_vec())),
        }
    }

    fn hashed(self, text: &str) -> Result<Zeroizing<Vec<u8>>, SaslError> {
        match self {
            Self::Latin1 => latin1(text).ok_or(SaslError::NotLatin1),
            Self::Utf8 => Ok(latin1(text).unwrap_or_else(|| Zeroizing::new(text.as_bytes().to_vec()))),
            Self::Always => Ok(Zeroizing::new(text.as_bytes().to_vec())),
        }
    }
}

fn latin1(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    // The exact capacity matters: what grows leaves a piece of the password where it was.
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    for c in text.chars() {
        bytes.push(u8::try_from(u32::from(c)).ok()?);
    }
    Some(bytes)
}

/// A digest-challenge that passed every check (RFC 2831 §2.1.1).
#[derive(Debug)]
struct Challenge {
    realms: Vec<String>,
    nonce: Vec<u8>,
    charset: Charset,
    says_utf8: bool,
}

impl Challenge {
    fn new(directives: &Directives, setup: &Setup) -> Result<Self, SaslError> {
        let nonce = directives.single("nonce")?.filter(|nonce| !nonce.is_empty());
        let nonce = nonce.ok_or(malformed("a nonce (nonce=)"))?.to_vec();
        let algorithm = directives.single("algorithm")?.unwrap_or_default();
        if !algorithm.eq_ignore_ascii_case(b"md5-sess") {
            return Err(malformed("the algorithm md5-sess (algorithm=)"));
        }
        // Without the directive it is `auth`.
        let qop = directives.single("qop")?.unwrap_or(b"auth");
        if !qop
            .split(|byte| *byte == b',')
            .any(|one| one.trim_ascii().eq_ignore_ascii_case(b"auth"))
        {
            return Err(malformed(
                "authentication without a security layer among what is offered (qop=)",
            ));
        }
        let says_utf8 = match directives.single("charset")? {
            Some(charset) if charset.eq_ignore_ascii_case(b"utf-8") => true,
            Some(_) => return Err(malformed("no charset but utf-8 (charset=)")),
            None => false,
        };
        for once in ["stale", "maxbuf", "cipher"] {
            directives.single(once)?;
        }
        let charset = match (setup.always_utf8, says_utf8) {
            (true, _) => Charset::Always,
            (false, true) => Charset::Utf8,
            (false, false) => Charset::Latin1,
        };
        let realms = directives.all("realm").map(|realm| charset.decoded(realm));
        Ok(Self {
            realms: realms.collect::<Result<_, _>>()?,
            nonce,
            charset,
            says_utf8,
        })
    }
}

/// Judges a response-auth (RFC 2831 §2.1.3).
fn verify(directives: &Directives, expected: &Secret) -> Result<(), SaslError> {
    let received = directives.single("rspauth")?.ok_or(malformed("a proof (rspauth=)"))?;
    // `Secret` compares in constant time. The digits are lower-case ones.
    if Secret::new(received) == *expected {
        Ok(())
    } else {
        Err(SaslError::WrongServerProof)
    }
}

fn put_quoted(message: &mut Vec<u8>, name: &str, value: &[u8]) {
    message.extend_from_slice(name.as_bytes());
    message.extend_from_slice(b"=\"");
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            message.push(b'\\');
        }
        message.push(*byte);
    }
    message.push(b'"');
}

fn digest(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut hash = Md5::new();
    parts.iter().for_each(|part| hash.update(part));
    let mut output = hash.finalize();
    let digest = Zeroizing::new(output.to_vec());
    output.as_mut_slice().zeroize();
    digest
}

/// RFC 2831 §2.1.2.1: HEX, in lower case.
fn hex(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    let mut digits = Zeroizing::new(Vec::with_capacity(2 * bytes.len()));
    digits.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::vectors::{base64, optional, rows, text};
    use serde_json::Value;

    const VECTORS: &str = include_str!("../../../tests/vectors/digest_md5.json");

    fn waiting(row: &Value) -> DigestMd5 {
        let settings = config::DigestMd5 {
            realm: optional(row, "realm"),
            always_utf8: row["always_utf8"].as_bool().unwrap(),
        };
        let mut digest = DigestMd5::new(
            &text(row, "authcid"),
            &text(row, "domain"),
            &Secret::from(text(row, "password")),
            optional(row, "authzid").as_deref(),
            text(row, "cnonce"),
            &settings,
        )
        .unwrap();
        // RFC 2831 logs in to IMAP.
        if !text(row, "digest_uri").starts_with("xmpp/") {
            digest.setup.digest_uri = text(row, "digest_uri");
        }
        digest.initial().unwrap();
        digest
    }

    /// The first exchange of the vectors, up to the client's response, and the server's proof.
    fn responded() -> (DigestMd5, Vec<u8>) {
        let row = rows(VECTORS, "exchanges").remove(0);
        let mut digest = waiting(&row);
        digest.challenge(&base64(&row, "challenge_base64")).unwrap();
        (digest, ["rspauth=", &text(&row, "rspauth")].concat().into_bytes())
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "an error that no vector names fails the test"
    )]
    fn label(error: &SaslError) -> &'static str {
        match error {
            SaslError::Malformed { .. } => "malformed",
            SaslError::Realm { .. } => "realm",
            SaslError::WrongServerProof => "proof",
            other => panic!("unexpected error {other:?}"),
        }
    }

    #[test]
    fn exchanges_match_to_the_byte() {
        for row in rows(VECTORS, "exchanges") {
            let proof = ["rspauth=", &text(&row, "rspauth")].concat();
            let mut digest = waiting(&row);
            assert_eq!(
                digest.challenge(&base64(&row, "challenge_base64")).unwrap().expose(),
                base64(&row, "response_base64"),
                "{row}"
            );
            assert_eq!(digest.success(proof.as_bytes()), Ok(ServerProof::Verified), "{row}");
            assert_eq!(digest.success(proof.as_bytes()), Err(SaslError::OutOfOrder), "{row}");
        }
    }

    #[test]
    fn the_proof_may_come_as_a_challenge_before_an_empty_success() {
        let (mut digest, proof) = responded();
        assert_eq!(digest.challenge(&proof), Ok(Secret::default()));
        assert_eq!(digest.success(b""), Ok(ServerProof::Verified));
        let (mut digest, proof) = responded();
        digest.challenge(&proof).unwrap();
        assert_eq!(digest.success(&proof), Err(SaslError::UnexpectedSuccessData));
        let (mut digest, proof) = responded();
        digest.challenge(&proof).unwrap();
        assert_eq!(digest.challenge(&proof), Err(SaslError::UnexpectedChallenge));
        assert_eq!(
            digest.success(b""),
            Err(SaslError::UnexpectedChallenge),
            "an error is final"
        );
        for row in rows(VECTORS, "accepted_proofs") {
            let proof = text(&row, "text");
            assert_eq!(
                responded().0.success(proof.as_bytes()),
                Ok(ServerProof::Verified),
                "{row}"
            );
        }
    }

    #[test]
    fn challenges_that_are_refused() {
        let first = rows(VECTORS, "exchanges").remove(0);
        for row in rows(VECTORS, "refused") {
            let mut digest = waiting(&first);
            let error = digest.challenge(&base64(&row, "challenge_base64")).unwrap_err();
            assert_eq!(label(&error), text(&row, "error"), "{row}");
            assert_eq!(
                digest.challenge(&base64(&first, "challenge_base64")),
                Err(error),
                "an error is final"
            );
        }
    }

    #[test]
    fn proofs_that_are_refused() {
        for row in rows(VECTORS, "refused_proofs") {
            let message = base64(&row, "message_base64");
            let (mut digest, proof) = responded();
            let error = digest.success(&message).unwrap_err();
            assert_eq!(label(&error), text(&row, "error"), "{row}");
            assert_eq!(digest.success(&proof), Err(error.clone()), "an error is final");
            let (mut digest, proof) = responded();
            assert_eq!(digest.challenge(&message), Err(error.clone()), "{row}");
            assert_eq!(digest.success(&proof), Err(error), "an error is final");
        }
    }

    #[test]
    fn success_without_proof_is_an_attack() {
        assert_eq!(responded().0.success(b""), Err(SaslError::MissingServerProof));
        let row = rows(VECTORS, "exchanges").remove(0);
        assert_eq!(waiting(&row).success(b""), Err(SaslError::SuccessTooEarly));
        let proof = responded().1;
        assert_eq!(waiting(&row).success(&proof), Err(SaslError::SuccessTooEarly));
    }

    #[test]
    fn a_stale_nonce_is_renewed_once() {
        for row in rows(VECTORS, "stale") {
            let challenge = base64(&row, "challenge_base64");
            let (mut digest, old_proof) = responded();
            assert_eq!(
                digest.challenge(&challenge).unwrap().expose(),
                base64(&row, "response_base64")
            );
            assert_eq!(digest.success(&old_proof), Err(SaslError::WrongServerProof));

            let (mut digest, _) = responded();
            digest.challenge(&challenge).unwrap();
            let proof = ["rspauth=", &text(&row, "rspauth")].concat();
            assert_eq!(digest.success(proof.as_bytes()), Ok(ServerProof::Verified));

            let (mut digest, _) = responded();
            digest.challenge(&challenge).unwrap();
            assert_eq!(label(&digest.challenge(&challenge).unwrap_err()), "malformed", "{row}");
        }
    }

    #[test]
    fn what_cannot_be_said_without_utf8_is_refused() {
        let mut row = rows(VECTORS, "exchanges").remove(0);
        row["authcid"] = Value::from("\u{3c0}");
        let challenge = b"nonce=\"abc\",algorithm=md5-sess";
        assert_eq!(waiting(&row).challenge(challenge), Err(SaslError::NotLatin1));
    }

    #[test]
    fn realms_are_listed_for_people() {
        let row = rows(VECTORS, "exchanges").remove(0);
        let challenge = b"realm=\"a\",realm=\"\xc3\xa9\",nonce=\"n\",algorithm=md5-sess,charset=utf-8";
        assert_eq!(
            waiting(&row).challenge(challenge).unwrap_err().to_string(),
            "the server has several realms (a, \\u{e9}) and none is called like the domain: configure which one to use"
        );
    }

    #[test]
    fn an_answer_that_a_server_must_refuse_is_not_sent() {
        let row = rows(VECTORS, "exchanges").remove(0);
        let challenge = ["nonce=\"", &"\\\"".repeat(900), "\",algorithm=md5-sess"].concat();
        let mut digest = waiting(&row);
        digest.setup.authcid = "x".repeat(3000);
        assert_eq!(label(&digest.challenge(challenge.as_bytes()).unwrap_err()), "malformed");
    }

    #[test]
    fn steps_out_of_order() {
        let row = rows(VECTORS, "exchanges").remove(0);
        assert_eq!(waiting(&row).initial(), Err(SaslError::OutOfOrder));
        let settings = config::DigestMd5::default();
        let new = |cnonce: &str| {
            DigestMd5::new(
                "user",
                "example.com",
                &Secret::from("pencil"),
                None,
                cnonce.into(),
                &settings,
            )
        };
        assert_eq!(new("n").unwrap().challenge(b""), Err(SaslError::OutOfOrder));
        assert_eq!(new("").unwrap_err(), SaslError::ClientNonce);
        assert_eq!(new("a b").unwrap_err(), SaslError::ClientNonce);
    }
}
