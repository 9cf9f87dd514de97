//! Names of mechanisms on the command line, and what each of them needs.

use crate::exit::Failure;

/// What a mechanism proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    Certificate,
    LoginToken,
    Password,
    AccessToken,
    Nothing,
}

impl Proof {
    /// Of that mechanism; `None` for one that this program does not have.
    pub(crate) fn of(mechanism: &str) -> Option<Self> {
        Some(match mechanism {
            "EXTERNAL" => Self::Certificate,
            "HT-SHA-256-EXPR" | "HT-SHA-256-UNIQ" | "HT-SHA-256-ENDP" | "HT-SHA-256-NONE" => Self::LoginToken,
            "OAUTHBEARER" | "X-OAUTH2" => Self::AccessToken,
            "DIGEST-MD5" | "PLAIN" => Self::Password,
            "ANONYMOUS" => Self::Nothing,
            scram => {
                let hash = scram.strip_prefix("SCRAM-SHA-")?;
                let known = ["1", "256", "384", "512"].contains(&hash.strip_suffix("-PLUS").unwrap_or(hash));
                return known.then_some(Self::Password);
            }
        })
    }

    /// Whether what was given is what the one mechanism that is wanted needs.
    ///
    /// # Errors
    /// It is not, and no server could change that.
    pub(crate) fn check(self, mechanism: &str) -> Result<(), Failure> {
        let Some(needed) = Self::of(mechanism) else {
            return Ok(());
        };
        // A kept token goes with whatever the next login without it would need.
        if needed == self || needed == Self::LoginToken {
            return Ok(());
        }
        let way = match needed {
            Self::Certificate => "a certificate alone: --cert, without --two-factors",
            Self::Password => "a password: leave out what is another proof",
            Self::AccessToken => "an access token: --token-env",
            Self::Nothing => "--anonymous",
            Self::LoginToken => "a kept login token: --keep",
        };
        Err(Failure::usage(format!("{mechanism} needs {way}")))
    }
}

/// A name as clap wants it.
///
/// # Errors
/// It is none of ours.
pub(crate) fn parse(text: &str) -> Result<String, String> {
    let name = text.to_ascii_uppercase();
    match Proof::of(&name) {
        Some(_) => Ok(name),
        None => Err("there is no such mechanism here; it looks like SCRAM-SHA-256 or EXTERNAL".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_of_the_engines() {
        use epode::config::MechanismPolicy;
        use epode::{Config, Credentials};
        for name in [
            "EXTERNAL",
            "HT-SHA-256-EXPR",
            "HT-SHA-256-NONE",
            "SCRAM-SHA-512-PLUS",
            "SCRAM-SHA-384",
            "SCRAM-SHA-1",
            "OAUTHBEARER",
            "X-OAUTH2",
            "DIGEST-MD5",
            "PLAIN",
            "ANONYMOUS",
            "SCRAM-SHA-2",
            "SCRAM-SHA-256-MINUS",
            "SCRAM",
            "",
        ] {
            let least = Some(name.to_owned());
            let config = Config::builder("user01@example.org".parse().unwrap())
                .credentials(Credentials::password("secret"))
                .mechanisms(MechanismPolicy {
                    least,
                    ..Default::default()
                });
            assert_eq!(Proof::of(name).is_some(), config.build().is_ok(), "{name}");
        }
        assert_eq!(parse("scram-sha-256-plus"), Ok("SCRAM-SHA-256-PLUS".to_owned()));
        assert!(parse("SCRAM-SHA-2").is_err());
    }

    #[test]
    fn a_mechanism_says_what_it_needs() {
        assert_eq!(Proof::Password.check("SCRAM-SHA-1"), Ok(()));
        assert_eq!(Proof::Password.check("HT-SHA-256-NONE"), Ok(()));
        let said = |proof: Proof, mechanism| proof.check(mechanism).unwrap_err().message;
        assert!(said(Proof::Password, "EXTERNAL").contains("--cert"));
        assert!(said(Proof::Certificate, "PLAIN").contains("a password"));
        assert!(said(Proof::Password, "OAUTHBEARER").contains("--token-env"));
        assert!(said(Proof::AccessToken, "ANONYMOUS").contains("--anonymous"));
    }
}
