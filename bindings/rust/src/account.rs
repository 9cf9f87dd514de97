//! The account itself: the certificates that log in to it (XEP-0257), its password, its end (XEP-0077).

use std::fmt;

use epode::certificates::{self, Certificate, InvalidList, InvalidRequest, Management};
use epode::error::{IqError, SessionEnd};
use epode::registration::{self, InvalidPassword};
use epode::xml::InvalidXml;
use epode::{Credentials, Element, Offline, Secret, StanzaError};

use crate::client::{Client, Handle};
use crate::error::RequestError;

/// A question about the account without the answer that was hoped for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccountError {
    /// There can be no such certificate, or no certificate of such a name. Nothing was sent.
    Certificate(InvalidRequest),
    /// It cannot be the account's password. Nothing was sent.
    Password(InvalidPassword),
    /// The server refused something about certificates.
    CertificatesRefused(certificates::Refusal),
    /// The server refused something about the account.
    RegistrationRefused(registration::Refusal),
    /// The server's list of certificates cannot be used.
    List(InvalidList),
    /// XML cannot express the request. Nothing was sent.
    Unwritable(InvalidXml),
    /// The request was not sent, or there was no answer: then nobody knows whether it was carried out.
    Request(RequestError),
}

impl Client {
    /// The certificates that log in to the account (XEP-0257 §2.2), as far as users manage them themselves. Events that arrive
    /// meanwhile are kept, as with [`request`](Self::request).
    ///
    /// # Errors
    /// The server does not have this, this login may not, or there is no answer.
    pub async fn certificates(&mut self) -> Result<Vec<Certificate>, AccountError> {
        let answer = self.request(certificates::list()?).await;
        list(answer)
    }

    /// Adds a certificate (DER) to the account, under a name that none of the others has (XEP-0257 §2.1): from then on it logs in by
    /// SASL EXTERNAL, and no administrator is needed for it.
    ///
    /// ```no_run
    /// # async fn run(chain: Vec<rustls::pki_types::CertificateDer<'static>>, mut client: epode_tokio::Client)
    /// #     -> Result<(), Box<dyn std::error::Error>> {
    /// use epode::certificates::Management;
    ///
    /// // `client` is online by password; `chain` is of a key that this device has just made.
    /// let leaf = chain.first().ok_or("no certificate")?;
    /// client.add_certificate("My phone", leaf, Management::Allowed).await?;
    /// for certificate in client.certificates().await? {
    ///     println!("{}: {} bytes, used by {:?}", certificate.name, certificate.der.len(), certificate.resources);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// It is no certificate, the name is taken, the server does not have this or does not take it, this login may not, or there
    /// is no answer. A server should refuse a name that is taken, but not each does: look at the list before.
    pub async fn add_certificate(
        &mut self,
        name: &str,
        der: &[u8],
        management: Management,
    ) -> Result<(), AccountError> {
        let answer = self.request(certificates::append(name, der, management)?).await;
        certificates_done(certificates::Request::Append, answer)
    }

    /// Takes a certificate from the account: it logs in no more (XEP-0257 §2.3). Who is logged in with it stays so.
    ///
    /// # Errors
    /// There is none of that name (some servers say nothing of it), the server does not have this, this login may not, or there is
    /// no answer.
    pub async fn disable_certificate(&mut self, name: &str) -> Result<(), AccountError> {
        let answer = self.request(certificates::disable(name)?).await;
        certificates_done(certificates::Request::Disable, answer)
    }

    /// As [`disable_certificate`](Self::disable_certificate), and the server ends the sessions that are logged in with it
    /// (XEP-0257 §2.4): for a device that was stolen. A client that revokes the certificate that it is logged in with is ended too.
    ///
    /// # Errors
    /// As [`disable_certificate`](Self::disable_certificate).
    pub async fn revoke_certificate(&mut self, name: &str) -> Result<(), AccountError> {
        let answer = self.request(certificates::revoke(name)?).await;
        certificates_done(certificates::Request::Revoke, answer)
    }

    /// Gives the account another password (XEP-0077 §3.3). When the server has taken it, this client has it too: with credentials
    /// that have a password, or are a login token, each further login is with the new one. What is kept elsewhere is the
    /// application's to change.
    ///
    /// It travels in plain text within TLS.
    ///
    /// # Errors
    /// No login could use the password, the server does not have this or does not take it, or there is no answer: then either may be
    /// the account's, and [`provide`](Self::provide) lets the application try the new one.
    pub async fn change_password(&mut self, password: impl Into<Secret>) -> Result<(), AccountError> {
        let password = password.into();
        let iq = registration::change_password(&self.handle().account, &password).map_err(AccountError::Password)?;
        let answer = self.ask(iq, None, Some(password)).await;
        registration_done(registration::Request::ChangePassword, answer)
    }

    /// Removes the account from the server, with all that is kept there (XEP-0077 §3.2). There is no way back. The client says goodbye
    /// then: [`next`](Self::next) tells of the end.
    ///
    /// # Errors
    /// The server does not have this, does not allow it, or there is no answer.
    pub async fn remove_account(&mut self) -> Result<(), AccountError> {
        let answer = self.request(registration::remove()?).await;
        let done = registration_done(registration::Request::Remove, answer);
        // XEP-0077 §3.2: the server ends all sessions with this error; some do so instead of answering.
        let gone = |end: SessionEnd| end.condition.as_deref() == Some("not-authorized");
        if done == Err(AccountError::Request(RequestError::Iq(IqError::Disconnected)))
            && let Some(Offline::Ended(end)) = self.end_ahead().await
            && gone(end)
        {
            return Ok(());
        }
        done?;
        self.handle().stop().await;
        Ok(())
    }
}

impl Handle {
    /// As [`Client::certificates`]; the owner takes the events, as with [`request`](Self::request).
    ///
    /// # Errors
    /// As [`Client::certificates`].
    pub async fn certificates(&self) -> Result<Vec<Certificate>, AccountError> {
        list(self.request(certificates::list()?, None).await)
    }

    /// As [`Client::add_certificate`].
    ///
    /// # Errors
    /// As [`Client::add_certificate`].
    pub async fn add_certificate(&self, name: &str, der: &[u8], management: Management) -> Result<(), AccountError> {
        let answer = self.request(certificates::append(name, der, management)?, None).await;
        certificates_done(certificates::Request::Append, answer)
    }

    /// As [`Client::disable_certificate`].
    ///
    /// # Errors
    /// As [`Client::disable_certificate`].
    pub async fn disable_certificate(&self, name: &str) -> Result<(), AccountError> {
        let answer = self.request(certificates::disable(name)?, None).await;
        certificates_done(certificates::Request::Disable, answer)
    }

    /// As [`Client::revoke_certificate`].
    ///
    /// # Errors
    /// As [`Client::revoke_certificate`].
    pub async fn revoke_certificate(&self, name: &str) -> Result<(), AccountError> {
        let answer = self.request(certificates::revoke(name)?, None).await;
        certificates_done(certificates::Request::Revoke, answer)
    }

    /// As [`Client::change_password`].
    ///
    /// # Errors
    /// As [`Client::change_password`].
    pub async fn change_password(&self, password: impl Into<Secret>) -> Result<(), AccountError> {
        let password = password.into();
        let iq = registration::change_password(&self.account, &password).map_err(AccountError::Password)?;
        let answer = self.ask(iq, None, Some(password)).await;
        registration_done(registration::Request::ChangePassword, answer)
    }

    /// As [`Client::remove_account`].
    ///
    /// # Errors
    /// As [`Client::remove_account`]; also [`IqError::Disconnected`] where the server ends the session instead of answering: then
    /// [`Event::Offline`](epode::Event::Offline) says `not-authorized`.
    pub async fn remove_account(&self) -> Result<(), AccountError> {
        let answer = self.request(registration::remove()?, None).await;
        registration_done(registration::Request::Remove, answer)?;
        self.stop().await;
        Ok(())
    }
}

/// The same credentials with the account's new password; none, if the account is not proved by one.
pub(crate) fn with_password(credentials: &Credentials, password: Secret) -> Option<Credentials> {
    match credentials {
        Credentials::CertificateAndPassword { identity, .. } => {
            Some(Credentials::certificate_and_password(identity, password))
        }
        // A token may be worth nothing any more: then there is the password.
        Credentials::Password { .. }
        | Credentials::ScramKey { .. }
        | Credentials::NewAccount { .. }
        | Credentials::KeptToken => Some(Credentials::password(password)),
        Credentials::Certificate { .. }
        | Credentials::AccessToken { .. }
        | Credentials::Anonymous
        | Credentials::Nothing => None,
        // Not an enum of this crate.
        _ => None,
    }
}

fn list(answer: Result<Element, RequestError>) -> Result<Vec<Certificate>, AccountError> {
    let answer = answer.map_err(|error| certificates_refused(certificates::Request::List, error))?;
    certificates::read_list(&answer).map_err(AccountError::List)
}

fn certificates_done(
    request: certificates::Request,
    answer: Result<Element, RequestError>,
) -> Result<(), AccountError> {
    let refused = |error| certificates_refused(request, error);
    answer.map(drop).map_err(refused)
}

fn certificates_refused(request: certificates::Request, error: RequestError) -> AccountError {
    match refusal(error) {
        Ok(error) => AccountError::CertificatesRefused(certificates::Refusal::new(request, error)),
        Err(error) => AccountError::Request(error),
    }
}

fn registration_done(
    request: registration::Request,
    answer: Result<Element, RequestError>,
) -> Result<(), AccountError> {
    answer.map(drop).map_err(|error| match refusal(error) {
        Ok(error) => AccountError::RegistrationRefused(registration::Refusal::new(request, error)),
        Err(error) => AccountError::Request(error),
    })
}

/// The server's own error, if it is one.
fn refusal(error: RequestError) -> Result<StanzaError, RequestError> {
    match error {
        RequestError::Iq(IqError::Error(error)) => Ok(error),
        other @ (RequestError::Call(_) | RequestError::Iq(_)) => Err(other),
    }
}

impl From<InvalidRequest> for AccountError {
    fn from(error: InvalidRequest) -> Self {
        Self::Certificate(error)
    }
}

impl From<InvalidXml> for AccountError {
    fn from(error: InvalidXml) -> Self {
        Self::Unwritable(error)
    }
}

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(error) => error.fmt(f),
            Self::Password(error) => error.fmt(f),
            Self::CertificatesRefused(refusal) => refusal.fmt(f),
            Self::RegistrationRefused(refusal) => refusal.fmt(f),
            Self::List(error) => error.fmt(f),
            Self::Unwritable(error) => error.fmt(f),
            Self::Request(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AccountError {}
