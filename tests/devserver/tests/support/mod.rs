//! Clients as small as can be, BOSH here and the others in `link.rs`, and certificates made at run time.

pub(crate) mod link;
pub(crate) mod modern;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use epode_devserver::{Personality, Server, Settings, TlsIdentity, User};
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, OtherNameValue,
    SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;

pub(crate) const NS: &str = "xmlns='http://jabber.org/protocol/httpbind'";
pub(crate) const SASL: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
pub(crate) const CLIENT: &str = "xmlns='jabber:client'";

/// One authority that signs the server's certificate and the clients'.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: CertificateDer<'static>,
}

pub(crate) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Validity {
    Now,
    Expired,
    NotYet,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    fn server(&self) -> TlsIdentity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        TlsIdentity {
            chain: vec![certificate.der().clone()],
            key: key.serialize_der().try_into().unwrap(),
        }
    }

    /// A client certificate that names these JIDs.
    pub(crate) fn client(&self, jids: &[&str], validity: Validity) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = client_params(jids, validity).signed_by(&key, &self.issuer).unwrap();
        (vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
    }
}

pub(crate) fn self_signed(jids: &[&str]) -> Identity {
    let key = KeyPair::generate().unwrap();
    let certificate = client_params(jids, Validity::Now).self_signed(&key).unwrap();
    (vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
}

fn client_params(jids: &[&str], validity: Validity) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "a client");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    for jid in jids {
        let name = OtherNameValue::Utf8String((*jid).to_owned());
        params
            .subject_alt_names
            .push(SanType::OtherName((vec![1, 3, 6, 1, 5, 5, 7, 8, 5], name)));
    }
    if validity == Validity::Expired {
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    }
    if validity == Validity::NotYet {
        params.not_before = rcgen::date_time_ymd(3000, 1, 1);
    }
    params
}

/// Prosody's manner, two users with passwords, few rounds of SCRAM so that unoptimised builds are quick.
pub(crate) fn settings(authority: &Authority) -> Settings {
    let mut settings = Settings::new("localhost", authority.server());
    settings.client_ca = vec![authority.certificate.clone()];
    settings.users = ["user01", "user02"]
        .into_iter()
        .map(|name| User {
            name: name.into(),
            password: Some(format!("{name}'s password")),
        })
        .collect();
    settings.scram_iterations = Some(512);
    settings
}

pub(crate) async fn start(authority: &Authority, change: impl FnOnce(&mut Settings)) -> Server {
    let mut settings = settings(authority);
    change(&mut settings);
    Server::start(settings).await.unwrap()
}

pub(crate) async fn start_as(authority: &Authority, personality: Personality) -> Server {
    start(authority, |settings| settings.personality = personality).await
}

/// A client's side of TLS that trusts the authority.
pub(crate) fn tls(authority: &Authority, identity: Option<&Identity>) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.clone())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    match identity {
        Some((chain, key)) => config.with_client_auth_cert(chain.clone(), key.clone_key()),
        None => Ok(config.with_no_client_auth()),
    }
}

/// The client's side of SCRAM-SHA-256 (RFC 7677).
pub(crate) struct Scram {
    bare: String,
}

impl Scram {
    pub(crate) fn new(user: &str) -> Self {
        Self {
            bare: format!("n={user},r=abcdefghijklmnop"),
        }
    }

    pub(crate) fn auth(&self) -> String {
        let first = STANDARD.encode(format!("n,,{}", self.bare));
        format!("<auth {SASL} mechanism='SCRAM-SHA-256'>{first}</auth>")
    }

    /// The response to the challenge in `answer`, and what success must look like.
    pub(crate) fn respond(&self, answer: &str, password: &str) -> (String, String) {
        let challenge = between(answer, &format!("<challenge {SASL}>"), "</challenge>");
        let challenge = String::from_utf8(STANDARD.decode(challenge).unwrap()).unwrap();
        let nonce = between(&challenge, "r=", ",");
        assert!(nonce.starts_with("abcdefghijklmnop") && nonce.len() > 30);
        let salt = STANDARD.decode(between(&challenge, ",s=", ",")).unwrap();
        let rounds = challenge.split_once(",i=").unwrap().1;
        // What follows the count are extensions.
        let rounds = rounds.split(',').next().unwrap().parse().unwrap();
        let mut salted = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), &salt, rounds, &mut salted);
        let client_key = hmac(&salted, b"Client Key");
        let last = format!("c=biws,r={nonce}");
        let message = format!("{},{challenge},{last}", self.bare);
        let signature = hmac(&Sha256::digest(&client_key), message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        let last = STANDARD.encode(format!("{last},p={}", STANDARD.encode(proof)));
        let expected = STANDARD.encode(format!(
            "v={}",
            STANDARD.encode(hmac(&hmac(&salted, b"Server Key"), message.as_bytes()))
        ));
        (
            format!("<response {SASL}>{last}</response>"),
            format!("<success {SASL}>{expected}</success>"),
        )
    }
}

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

/// One HTTPS connection.
pub(crate) struct Connection(SendRequest<Full<Bytes>>);

impl Connection {
    pub(crate) async fn open(server: &Server, authority: &Authority, identity: Option<&Identity>) -> Self {
        Self::try_open(server, authority, identity).await.unwrap()
    }

    pub(crate) async fn try_open(
        server: &Server,
        authority: &Authority,
        identity: Option<&Identity>,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let config = tls(authority, identity)?;
        let stream = TcpStream::connect(server.address()).await?;
        let name = ServerName::try_from("localhost")?;
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    pub(crate) async fn try_post(&mut self, body: &str) -> Result<(u16, String), hyper::Error> {
        self.0.ready().await?;
        let request = hyper::Request::post("/http-bind")
            .header("host", "localhost")
            .header("content-type", "text/xml; charset=utf-8")
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        let response = self.0.send_request(request).await?;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8(bytes.to_vec()).unwrap()))
    }

    pub(crate) async fn get(&mut self, path: &str) -> (u16, String, String) {
        self.0.ready().await.unwrap();
        let request = hyper::Request::get(path).header("host", "localhost");
        let response = self
            .0
            .send_request(request.body(Full::default()).unwrap())
            .await
            .unwrap();
        let status = response.status().as_u16();
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, kind, String::from_utf8(bytes.to_vec()).unwrap())
    }

    pub(crate) async fn post(&mut self, body: &str) -> String {
        let answer = tokio::time::timeout(Duration::from_secs(20), self.try_post(body))
            .await
            .expect("an answer in time");
        let (status, body) = answer.unwrap();
        assert_eq!(status, 200);
        body
    }
}

/// A session that numbers its requests.
pub(crate) struct Client {
    pub(crate) connection: Connection,
    pub(crate) sid: String,
    pub(crate) rid: u64,
    pub(crate) creation: String,
}

impl Client {
    /// Creates a session that waits at most two seconds.
    pub(crate) async fn create(mut connection: Connection) -> Self {
        let rid = 1_421_604_076;
        let body = format!(
            "<body {NS} rid='{rid}' to='localhost' xml:lang='en' wait='2' hold='1' ver='1.6' content='text/xml; charset=utf-8' \
             xmpp:version='1.0' xmlns:xmpp='urn:xmpp:xbosh'/>"
        );
        let creation = connection.post(&body).await;
        Self {
            connection,
            sid: between(&creation, " sid='", "'").to_owned(),
            rid,
            creation,
        }
    }

    /// The next body, with these attributes and content.
    pub(crate) fn body(&mut self, attributes: &str, inside: &str) -> String {
        self.rid += 1;
        format!(
            "<body {NS} rid='{}' sid='{}' {attributes}>{inside}</body>",
            self.rid, self.sid
        )
    }

    pub(crate) async fn send(&mut self, inside: &str) -> String {
        let body = self.body("", inside);
        self.connection.post(&body).await
    }

    pub(crate) async fn external(&mut self, text: &str) -> String {
        self.send(&format!("<auth {SASL} mechanism='EXTERNAL'>{text}</auth>"))
            .await
    }

    pub(crate) async fn plain(&mut self, user: &str) -> String {
        let message = STANDARD.encode(format!("\0{user}\0{user}'s password"));
        self.send(&format!("<auth {SASL} mechanism='PLAIN'>{message}</auth>"))
            .await
    }

    pub(crate) async fn restart(&mut self) -> String {
        let body = self.body("to='localhost' xmpp:restart='true' xmlns:xmpp='urn:xmpp:xbosh'", "");
        self.connection.post(&body).await
    }

    /// Restart and bind after success; gives the full JID.
    pub(crate) async fn bind(&mut self, resource: &str) -> String {
        let features = self.restart().await;
        assert!(features.contains("urn:ietf:params:xml:ns:xmpp-bind"), "{features}");
        let iq = format!(
            "<iq {CLIENT} type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{resource}</resource></bind></iq>"
        );
        let result = self.send(&iq).await;
        between(&result, "<jid>", "</jid>").to_owned()
    }

    pub(crate) async fn online(server: &Server, authority: &Authority, user: &str, resource: &str) -> Self {
        let mut client = Self::create(Connection::open(server, authority, None).await).await;
        let answer = client.plain(user).await;
        assert!(answer.contains("<success"), "{answer}");
        assert_eq!(client.bind(resource).await, format!("{user}@localhost/{resource}"));
        client
    }
}

#[track_caller]
pub(crate) fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let rest = text
        .split_once(start)
        .unwrap_or_else(|| panic!("no {start:?} in {text}"))
        .1;
    rest.split_once(end).unwrap_or_else(|| panic!("no {end:?} in {text}")).0
}
