//! What users do with their own accounts: enrol a certificate and log in with it (XEP-0257), change the password, leave (XEP-0077).

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use epode::certificates::{InvalidRequest, Management, Refusal};
use epode::config::{StreamManagement, Transport};
use epode::error::LoginError;
use epode::record::Log;
use epode::{Config, Credentials, Event, Offline, TransportKind, registration};
use epode_devserver::{Authentication, Cut, Server};
use epode_tokio::{AccountError, Builder, Client, ClientIdentity};
use rcgen::{CertificateParams, KeyPair, OtherNameValue, SanType};

use crate::support::{Authority, offline, online, within};
use crate::transports::{starttls, transports};

const PASSWORD: &str = "user01's password";

async fn modern(authority: &Authority) -> Server {
    authority
        .serve(|settings| {
            settings.authentication = Authentication::modern();
            // No administrator trusts anybody: what logs in is what users add.
            settings.client_ca = Vec::new();
        })
        .await
}

fn client_of(authority: &Authority, transport: Transport, credentials: Credentials) -> Builder {
    let config = Config::builder("user01@localhost".parse().unwrap())
        .transport(transport)
        .credentials(credentials);
    Client::builder(config.build().unwrap())
        .add_root(authority.certificate.clone())
        .unwrap()
}

async fn by_password(authority: &Authority, transport: Transport) -> Client {
    let mut client = client_of(authority, transport, Credentials::password(PASSWORD))
        .connect()
        .await
        .unwrap();
    online(&mut client).await;
    client
}

/// A certificate that signs itself, as a user's device makes it.
struct Own {
    der: Vec<u8>,
    identity: ClientIdentity,
}

impl Own {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::OtherName((
            vec![1, 3, 6, 1, 5, 5, 7, 8, 5],
            OtherNameValue::Utf8String("user01@localhost".to_owned()),
        ))];
        let certificate = params.self_signed(&key).unwrap();
        let chain = vec![certificate.der().clone()];
        Self {
            der: certificate.der().to_vec(),
            identity: ClientIdentity::new(chain, key.serialize_der().try_into().unwrap()).unwrap(),
        }
    }

    async fn log_in(&self, authority: &Authority, transport: Transport) -> Client {
        let credentials = Credentials::certificate("mine", Some(self.der.clone()));
        client_of(authority, transport, credentials)
            .identity("mine", self.identity.clone())
            .connect()
            .await
            .unwrap()
    }
}

/// How a refusal to log in ends.
async fn refused(mut client: Client) {
    let reason = offline(&mut client).await;
    assert!(matches!(reason, Offline::Login(_)), "{reason:?}");
}

/// The end of a client that was online.
async fn end(client: &mut Client) -> Offline {
    within(async {
        loop {
            if let Event::Offline { reason } = client.next().await.expect("an event") {
                return reason;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_certificate_is_enrolled_without_an_administrator_on_every_transport() {
    let authority = Authority::new();
    let server = modern(&authority).await;
    for (transport, kind) in transports(&server) {
        let own = Own::new();
        refused(own.log_in(&authority, transport.clone()).await).await;

        let mut owner = by_password(&authority, transport.clone()).await;
        assert_eq!(within(owner.certificates()).await, Ok(Vec::new()), "{kind:?}");
        within(owner.add_certificate("My phone", &own.der, Management::Allowed))
            .await
            .unwrap();
        let mut phone = own.log_in(&authority, transport.clone()).await;
        assert_eq!(online(&mut phone).await.1, "EXTERNAL", "{kind:?}");
        let listed = within(phone.handle().certificates()).await.unwrap();
        let [certificate] = listed.as_slice() else {
            panic!("{listed:?}")
        };
        assert_eq!((certificate.name.as_str(), &certificate.der), ("My phone", &own.der));

        // It stays logged in, and logs in no more.
        within(owner.disable_certificate("My phone")).await.unwrap();
        assert_eq!(within(phone.certificates()).await, Ok(Vec::new()), "{kind:?}");
        within(phone.stop()).await;
        refused(own.log_in(&authority, transport.clone()).await).await;
        assert_eq!(within(owner.stop()).await, Offline::Stopped, "{kind:?}");
    }
    assert_eq!(server.violations(), [""; 0]);
}

#[tokio::test]
async fn a_revoked_certificate_ends_the_sessions_that_it_made() {
    let authority = Authority::new();
    let server = modern(&authority).await;
    let own = Own::new();
    let mut owner = by_password(&authority, starttls(&server)).await;
    for (transport, kind) in transports(&server) {
        within(owner.add_certificate("stolen", &own.der, Management::Allowed))
            .await
            .unwrap();
        let mut thief = own.log_in(&authority, transport).await;
        online(&mut thief).await;
        within(owner.handle().revoke_certificate("stolen")).await.unwrap();
        let reason = end(&mut thief).await;
        assert!(
            matches!(reason, Offline::Ended(_) | Offline::Login(_)),
            "{kind:?}: {reason:?}"
        );
    }
    // The owner logged in by password, and stays.
    assert_eq!(within(owner.certificates()).await, Ok(Vec::new()));
    assert_eq!(within(owner.stop()).await, Offline::Stopped);
    assert_eq!(server.violations(), [""; 0]);
}

#[tokio::test]
async fn names_are_unique_and_only_certificates_are_added() {
    let authority = Authority::new();
    let server = modern(&authority).await;
    let (own, other) = (Own::new(), Own::new());
    let mut owner = by_password(&authority, starttls(&server)).await;
    let handle = owner.handle();
    let refusal = |refusal| Err(AccountError::CertificatesRefused(refusal));

    within(handle.add_certificate("a", &own.der, Management::Allowed))
        .await
        .unwrap();
    let again = within(handle.add_certificate("a", &other.der, Management::Allowed)).await;
    assert_eq!(again, refusal(Refusal::NameTaken));
    assert_eq!(
        again.unwrap_err().to_string(),
        "there is a certificate of that name already: choose another name, or disable that one first"
    );
    assert_eq!(within(owner.certificates()).await.unwrap()[0].der, own.der);
    assert_eq!(
        within(owner.disable_certificate("b")).await,
        refusal(Refusal::NoSuchName)
    );
    assert_eq!(
        within(owner.revoke_certificate("b")).await,
        refusal(Refusal::NoSuchName)
    );
    assert_eq!(
        within(owner.add_certificate(" ", &own.der, Management::Allowed)).await,
        Err(AccountError::Certificate(InvalidRequest::Name))
    );
    let key = KeyPair::generate().unwrap().serialize_der();
    let refused = within(owner.add_certificate("key", &key, Management::Allowed)).await;
    assert!(
        matches!(refused, Err(AccountError::Certificate(InvalidRequest::Certificate(_)))),
        "{refused:?}"
    );
    within(owner.stop()).await;
    assert_eq!(server.violations(), [""; 0]);
}

/// XEP-0257 §2.1.
#[tokio::test]
async fn a_bot_manages_no_certificates_and_no_password() {
    let authority = Authority::new();
    let server = modern(&authority).await;
    let own = Own::new();
    let mut owner = by_password(&authority, starttls(&server)).await;
    within(owner.add_certificate("bot", &own.der, Management::Forbidden))
        .await
        .unwrap();
    let listed = within(owner.certificates()).await.unwrap();
    assert_eq!(listed[0].management, Management::Forbidden);
    let mut bot = own.log_in(&authority, starttls(&server)).await;
    online(&mut bot).await;
    let sentence = within(bot.add_certificate("mine", &Own::new().der, Management::Allowed))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        sentence.contains("this login may not manage certificates: forbidden"),
        "{sentence}"
    );
    assert!(within(bot.disable_certificate("bot")).await.is_err());
    // XEP-0257 §5.2
    let sentence = within(bot.change_password("taken over")).await.unwrap_err().to_string();
    assert!(
        sentence.starts_with("not in this session: not-authorized"),
        "{sentence}"
    );
    within(bot.stop()).await;
    within(owner.stop()).await;
    by_password(&authority, starttls(&server)).await.stop().await;
    assert_eq!(server.violations(), [""; 0]);
}

#[tokio::test]
async fn a_server_that_has_neither_says_so() {
    let authority = Authority::new();
    let server = authority.serve(|_| {}).await;
    let mut client = by_password(&authority, starttls(&server)).await;
    assert_eq!(
        within(client.certificates()).await,
        Err(AccountError::CertificatesRefused(Refusal::NotOffered))
    );
    let request = registration::Request::ChangePassword;
    assert_eq!(
        within(client.change_password("another")).await,
        Err(AccountError::RegistrationRefused(registration::Refusal::NotOffered {
            request
        }))
    );
    let sentence = within(client.remove_account()).await.unwrap_err().to_string();
    assert!(
        sentence.starts_with("the server does not let users remove their accounts"),
        "{sentence}"
    );
    within(client.stop()).await;
}

/// A log that a test can read.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether the text is in there, as it is or as XML escapes it.
fn holds(log: &str, secret: &str) -> bool {
    log.contains(secret) || log.contains(&secret.replace('&', "&amp;"))
}

#[tokio::test]
async fn a_new_password_logs_in_again_and_is_in_no_log() {
    const NEW: &str = "canary&the new one";
    let authority = Authority::new();
    for at in 0..4 {
        let server = modern(&authority).await;
        let (transport, kind) = transports(&server).into_iter().nth(at).unwrap();
        let log = Shared::default();
        let config = Config::builder("user01@localhost".parse().unwrap())
            .transport(transport.clone())
            .stream_management(StreamManagement {
                enabled: false,
                ..StreamManagement::default()
            })
            .credentials(Credentials::password(PASSWORD));
        let mut client = Client::builder(config.build().unwrap())
            .add_root(authority.certificate.clone())
            .unwrap()
            .record(log.clone())
            .connect()
            .await
            .unwrap();
        online(&mut client).await;
        assert!(matches!(
            within(client.change_password("")).await,
            Err(AccountError::Password(_))
        ));
        within(client.change_password(NEW)).await.unwrap();
        server.control().forget_tokens();
        // Without XEP-0198 a connection that breaks takes the session along: the client logs in by itself. BOSH sessions live on.
        if kind != TransportKind::Bosh {
            server.control().cut_all(Cut::Reset);
            online(&mut client).await;
        }
        within(client.stop()).await;
        server.control().forget_tokens();
        client.start().await.unwrap();
        online(&mut client).await;
        within(client.stop()).await;
        let said = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(said.contains("jabber:iq:register"), "{kind:?}: nothing was logged");
        assert!(!holds(&said, NEW) && !holds(&said, "canary"), "{kind:?}");
        let replayed = Log::read(&said).unwrap().compare().unwrap();
        assert_eq!(replayed.difference, None, "{kind:?}");

        let mut old = client_of(&authority, transport, Credentials::password(PASSWORD))
            .connect()
            .await
            .unwrap();
        let reason = offline(&mut old).await;
        assert!(
            matches!(reason, Offline::Login(LoginError::Refused { .. })),
            "{kind:?}: {reason:?}"
        );
        assert_eq!(server.violations(), [""; 0], "{kind:?}");
    }
}

#[tokio::test]
async fn an_account_is_removed_and_its_client_ends() {
    let authority = Authority::new();
    for at in 0..4 {
        let server = modern(&authority).await;
        let (transport, kind) = transports(&server).into_iter().nth(at).unwrap();
        let mut client = by_password(&authority, transport.clone()).await;
        assert_eq!(within(client.remove_account()).await, Ok(()), "{kind:?}");
        end(&mut client).await;
        let mut again = client_of(&authority, transport, Credentials::password(PASSWORD))
            .connect()
            .await
            .unwrap();
        let reason = offline(&mut again).await;
        assert!(
            matches!(reason, Offline::Login(LoginError::Refused { .. })),
            "{kind:?}: {reason:?}"
        );
        assert_eq!(server.violations(), [""; 0], "{kind:?}");
    }
}
