//! DIGEST-MD5 (RFC 2831), which RFC 6331 has retired and some servers still offer: authentication only, no layer below it.

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

use super::{BAD_AUTHZID, Circumstances, Exchange, MALFORMED, Proved, Step, bare, local_part};
use crate::accounts::Accounts;
use crate::stream::hex;

/// What the server asked with: the nonce.
#[derive(Debug)]
pub(crate) struct Challenge(String);

/// RFC 2831 §2.1.1. The realm is the domain.
pub(super) fn challenge(accounts: &Accounts, now: &Circumstances<'_>) -> Step {
    let nonce = hex(&accounts.random_bytes::<16>());
    let text = format!(
        "realm=\"{}\",nonce=\"{nonce}\",qop=\"auth\",charset=utf-8,algorithm=md5-sess",
        now.domain
    );
    Step::Challenge(text.into_bytes(), Exchange::Digest(Challenge(nonce)))
}

impl Challenge {
    /// RFC 2831 §2.1.2 in, §2.1.3 out. The proof is a challenge of its own, which the client answers with nothing.
    pub(super) fn finish(self, message: &[u8], accounts: &Accounts, now: &Circumstances<'_>) -> Step {
        let directives = core::str::from_utf8(message).ok().and_then(directives);
        let Some(directives) = directives else {
            return Step::Refuse(MALFORMED);
        };
        let get = |name: &str| {
            let mut found = directives.iter().filter(|(key, _)| key == name);
            let first = found.next().map(|(_, value)| value.as_str());
            first.filter(|_| found.next().is_none())
        };
        let uri = format!("xmpp/{}", now.domain);
        let (Some(user), Some(cnonce), Some(response)) = (get("username"), get("cnonce"), get("response")) else {
            return Step::Refuse(MALFORMED);
        };
        let as_asked = get("nonce") == Some(&self.0)
            && get("nc") == Some("00000001")
            && get("digest-uri") == Some(&uri)
            && get("realm").is_none_or(|realm| realm == now.domain)
            && get("qop").is_none_or(|qop| qop == "auth");
        if !as_asked {
            return Step::Refuse(MALFORMED);
        }
        let Some(password) = accounts.password(user) else {
            return Step::Refuse(now.habits.wrong_password);
        };
        let answer = Answer {
            user,
            realm: get("realm").unwrap_or_default(),
            password,
            nonce: &self.0,
            cnonce,
            authzid: get("authzid"),
            uri: &uri,
            utf_8: get("charset") == Some("utf-8"),
        };
        if !bool::from(answer.response("AUTHENTICATE").as_bytes().ct_eq(response.as_bytes())) {
            return Step::Refuse(now.habits.wrong_password);
        }
        if answer
            .authzid
            .is_some_and(|authzid| local_part(&bare(authzid), now.domain) != Some(user))
        {
            return Step::Refuse(BAD_AUTHZID);
        }
        let proved = Proved::user(user);
        match now.options.proof.of(answer.response("").into_bytes()) {
            Some(proof) => {
                let proof = [b"rspauth=".as_slice(), &proof].concat();
                Step::Challenge(proof, Exchange::Acknowledged(Box::new(proved)))
            }
            None => Step::Success(proved),
        }
    }
}

struct Answer<'a> {
    user: &'a str,
    realm: &'a str,
    password: &'a str,
    nonce: &'a str,
    cnonce: &'a str,
    authzid: Option<&'a str>,
    uri: &'a str,
    utf_8: bool,
}

impl Answer<'_> {
    /// RFC 2831 §2.1.2.1; the server's own has no method in it.
    fn response(&self, method: &str) -> String {
        let [user, realm, password] = [self.user, self.realm, self.password].map(|text| self.bytes(text));
        let secret = Md5::digest([user, realm, password].join(&b':'));
        let mut session = Md5::new_with_prefix(secret);
        session.update(format!(":{}:{}", self.nonce, self.cnonce));
        if let Some(authzid) = self.authzid {
            session.update(format!(":{authzid}"));
        }
        let a1 = hex(&session.finalize());
        let a2 = hex(&Md5::digest(format!("{method}:{}", self.uri)));
        hex(&Md5::digest(format!(
            "{a1}:{}:00000001:{}:auth:{a2}",
            self.nonce, self.cnonce
        )))
    }

    /// What ISO 8859-1 can say is hashed as it says it, even where both sides speak UTF-8.
    fn bytes(&self, text: &str) -> Vec<u8> {
        let latin: Result<Vec<u8>, _> = text.chars().map(|c| u8::try_from(u32::from(c))).collect();
        match latin {
            Ok(latin) if self.utf_8 => latin,
            Ok(_) | Err(_) => text.as_bytes().to_vec(),
        }
    }
}

/// `key=value` or `key="value"`, with commas between them.
fn directives(text: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let mut value = String::new();
        if let Some(quoted) = after.strip_prefix('"') {
            let mut chars = quoted.chars();
            loop {
                match chars.next()? {
                    '"' => break,
                    '\\' => value.push(chars.next()?),
                    c => value.push(c),
                }
            }
            rest = chars.as_str().trim_start();
        } else {
            let end = after.find(',').unwrap_or(after.len());
            value.push_str(after.get(..end)?.trim());
            rest = after.get(end..)?;
        }
        found.push((key.trim().to_lowercase(), value));
        rest = match rest.strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_2831_computes() {
        let answer = Answer {
            user: "chris",
            realm: "elwood.innosoft.com",
            password: "secret",
            nonce: "OA6MG9tEQGm2hh",
            cnonce: "OA6MHXh6VqTrRk",
            authzid: None,
            uri: "imap/elwood.innosoft.com",
            utf_8: true,
        };
        assert_eq!(answer.response("AUTHENTICATE"), "d388dad90d4bbd760a152321f2143af7");
        assert_eq!(answer.response(""), "ea40f60335c427b5527b84dbabcdfffd");
    }

    #[test]
    fn directives_are_read_whole_or_not_at_all() {
        let read = directives("username=\"a\\\"b,c\", nc=00000001 ,qop=auth").unwrap();
        let read: Vec<_> = read.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(read, [("username", "a\"b,c"), ("nc", "00000001"), ("qop", "auth")]);
        for text in ["username", "username=\"a", "username=\"a\"b", "a=\"b\\"] {
            assert_eq!(directives(text), None, "{text}");
        }
    }
}
