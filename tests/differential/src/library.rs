//! rsasl as the server: OAUTHBEARER, ANONYMOUS and EXTERNAL. It is a crate, so it runs in the test itself.

use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::mechanisms::oauthbearer::properties::{OAuthBearerError, OAuthBearerValidate};
use rsasl::prelude::{Mechname, MessageSent, SASLConfig, SASLServer, Session, SessionError, State, Validation};
use rsasl::property::{AuthzId, OAuthBearerToken};
use rsasl::validate::{Validate, ValidationError};

use crate::frame::Reply;

/// What the server takes, and what it says otherwise.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// The identities that the client may ask to act as; one of them can be empty. None: it must not ask.
    pub authzids: Vec<String>,
    /// OAUTHBEARER: the access token.
    pub token: String,
    /// OAUTHBEARER: why it is refused (RFC 7628 §3.2.2), and which scope would have been taken, and where to ask.
    pub status: &'static str,
    /// See `status`.
    pub scope: Option<&'static str>,
    /// See `status`.
    pub openid: Option<&'static str>,
    /// ANONYMOUS: nobody is let in.
    pub closed: bool,
}

/// One exchange.
pub struct Exchange {
    session: Session<Judgement>,
    refused: bool,
}

impl Exchange {
    /// With that mechanism.
    pub fn new(mechanism: &str, account: &Account) -> Self {
        let config = SASLConfig::builder()
            .with_defaults()
            .with_callback(account.clone())
            .expect("a configuration");
        let name = Mechname::parse(mechanism.as_bytes()).expect("a name");
        let session = SASLServer::<Judgement>::new(config)
            .start_suggested(name)
            .expect("a mechanism that it has");
        Self {
            session,
            refused: false,
        }
    }

    /// The client's next message.
    pub fn step(&mut self, data: Option<&[u8]>) -> Reply {
        let mut out = Vec::new();
        let state = match self.session.step(data, &mut out) {
            Ok(state) => state,
            Err(error) => return Reply::Failure(error.to_string()),
        };
        let allowed = self.session.validation();
        match state {
            // RFC 7628 §3.2.3: the client's answer to the reason is a dummy, and then the login has failed.
            _ if self.refused => Reply::Failure("as it said".to_owned()),
            State::Running => {
                self.refused = true;
                Reply::Challenge(out)
            }
            State::Finished(_) if allowed != Some(true) => Reply::Failure("not that one".to_owned()),
            State::Finished(MessageSent::Yes) => Reply::Success(Some(out)),
            State::Finished(MessageSent::No) => Reply::Success(None),
        }
    }
}

/// Whether the account may log in.
struct Judgement;

impl Validation for Judgement {
    type Value = bool;
}

impl Account {
    fn takes_token(&self, context: &Context<'_>) -> bool {
        // RFC 6750 §2.1: the scheme is a part of what the client says.
        let bearer = ["Bearer ", &self.token].concat();
        context.get_ref::<OAuthBearerToken>() == Some(bearer.as_str())
    }

    fn takes_authzid(&self, context: &Context<'_>) -> bool {
        match context.get_ref::<AuthzId>() {
            None => self.authzids.is_empty(),
            Some(authzid) => self.authzids.iter().any(|allowed| allowed == authzid),
        }
    }
}

impl SessionCallback for Account {
    fn callback(&self, _: &SessionData, context: &Context<'_>, request: &mut Request<'_>) -> Result<(), SessionError> {
        if request.is::<OAuthBearerValidate>() {
            let answer = match self.takes_token(context) {
                true => Ok(()),
                false => Err(OAuthBearerError::new(self.status, self.scope, self.openid)),
            };
            request.satisfy::<OAuthBearerValidate>(&answer)?;
        }
        Ok(())
    }

    fn validate(
        &self,
        data: &SessionData,
        context: &Context<'_>,
        validate: &mut Validate<'_>,
    ) -> Result<(), ValidationError> {
        let allowed = match data.mechanism().mechanism.as_str() {
            "ANONYMOUS" => !self.closed,
            "EXTERNAL" => self.takes_authzid(context),
            _ => self.takes_authzid(context) && self.takes_token(context),
        };
        validate.with::<Judgement, _>(|| Ok(allowed))?;
        Ok(())
    }
}
