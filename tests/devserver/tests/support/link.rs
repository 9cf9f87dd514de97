//! A client over TCP or WebSocket that sends what it is told and shows what comes.

use std::sync::Arc;
use std::time::Duration;

use epode_devserver::{Server, Transport};
use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::ServerName;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};

use super::{Authority, CLIENT, Identity, SASL, Scram, between, tls};

pub(crate) const FRAMING: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-framing'";
pub(crate) const SM: &str = "xmlns='urn:xmpp:sm:3'";
pub(crate) const HEADER: &str = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xml:lang='en' \
     xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// The transports that `Link` speaks.
pub(crate) const LINKS: [Transport; 3] = [Transport::StartTls, Transport::DirectTls, Transport::WebSocket];

enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    WebSocket(Box<WebSocketStream<TlsStream<TcpStream>>>),
}

pub(crate) struct Link {
    wire: Wire,
    /// What came and was not asked for yet.
    unread: String,
}

impl Link {
    /// TCP, and nothing said.
    pub(crate) async fn plain(server: &Server) -> Self {
        let stream = TcpStream::connect(server.starttls_address()).await.unwrap();
        Self {
            wire: Wire::Plain(stream),
            unread: String::new(),
        }
    }

    /// A connection as far as TLS, or as the upgrade to a WebSocket.
    pub(crate) async fn connect(
        server: &Server,
        transport: Transport,
        authority: &Authority,
        identity: Option<&Identity>,
    ) -> Self {
        let wire = match transport {
            Transport::StartTls => {
                let mut link = Self::plain(server).await;
                link.send(HEADER).await;
                let features = link.until("</stream:features>").await;
                assert!(features.ends_with(
                    "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"
                ));
                link.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await;
                link.until("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await;
                let Wire::Plain(stream) = link.wire else {
                    panic!("TLS already")
                };
                let config = tls(authority, identity).unwrap();
                Wire::Tls(Box::new(handshake(stream, config).await.unwrap()))
            }
            Transport::DirectTls => {
                let stream = TcpStream::connect(server.direct_tls_address()).await.unwrap();
                let mut config = tls(authority, identity).unwrap();
                config.alpn_protocols = vec![b"xmpp-client".to_vec()];
                let stream = handshake(stream, config).await.unwrap();
                assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"xmpp-client"[..]));
                Wire::Tls(Box::new(stream))
            }
            Transport::WebSocket => {
                let socket = upgrade(server, authority, identity, Some("xmpp")).await.unwrap();
                Wire::WebSocket(Box::new(socket))
            }
            Transport::Bosh => panic!("not a link"),
        };
        Self {
            wire,
            unread: String::new(),
        }
    }

    /// Direct TLS as it was before 1.3.
    pub(crate) async fn over_tls_1_2(server: &Server, authority: &Authority) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.certificate.clone()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(server.direct_tls_address()).await.unwrap();
        let stream = handshake(stream, config).await.unwrap();
        assert_eq!(
            stream.get_ref().1.protocol_version(),
            Some(rustls::ProtocolVersion::TLSv1_2)
        );
        Self {
            wire: Wire::Tls(Box::new(stream)),
            unread: String::new(),
        }
    }

    /// Logged in with a password and bound.
    pub(crate) async fn online(
        server: &Server,
        transport: Transport,
        authority: &Authority,
        user: &str,
        resource: &str,
    ) -> Self {
        let mut link = Self::logged_in(server, transport, authority, user).await;
        assert_eq!(link.bind(resource).await, format!("{user}@localhost/{resource}"));
        link
    }

    /// Logged in with a password and restarted, as it is before binding or resuming.
    pub(crate) async fn logged_in(server: &Server, transport: Transport, authority: &Authority, user: &str) -> Self {
        let mut link = Self::connect(server, transport, authority, None).await;
        link.open().await;
        link.scram(user).await;
        let features = link.open().await;
        assert!(features.contains("xmlns='urn:xmpp:sm:3'"), "{features}");
        link
    }

    pub(crate) async fn send(&mut self, xml: &str) {
        self.try_send(xml).await.unwrap();
    }

    pub(crate) async fn try_send(&mut self, xml: &str) -> Result<(), Box<dyn std::error::Error>> {
        match &mut self.wire {
            Wire::Plain(stream) => stream.write_all(xml.as_bytes()).await?,
            Wire::Tls(stream) => {
                stream.write_all(xml.as_bytes()).await?;
                stream.flush().await?;
            }
            Wire::WebSocket(socket) => socket.send(Message::text(xml)).await?,
        }
        Ok(())
    }

    pub(crate) async fn send_binary(&mut self, bytes: &'static [u8]) {
        let Wire::WebSocket(socket) = &mut self.wire else {
            panic!("no WebSocket")
        };
        socket.send(Message::binary(bytes)).await.unwrap();
    }

    /// What came up to and with this.
    #[track_caller]
    pub(crate) fn until(&mut self, needle: &str) -> impl Future<Output = String> {
        let place = std::panic::Location::caller();
        async move {
            let mut seen = 0;
            loop {
                while !self.unread.is_char_boundary(seen) {
                    seen -= 1;
                }
                if let Some(at) = self.unread[seen..].find(needle).map(|at| at + seen) {
                    let rest = self.unread.split_off(at + needle.len());
                    return std::mem::replace(&mut self.unread, rest);
                }
                seen = self.unread.len().saturating_sub(needle.len());
                assert!(
                    self.more().await,
                    "{place}: no {needle} in {:?}, and no more",
                    self.unread
                );
            }
        }
    }

    /// All that still comes, to the end of the connection.
    pub(crate) async fn rest(&mut self) -> String {
        while self.more().await {}
        std::mem::take(&mut self.unread)
    }

    /// Reads once. False at the end, however it came about.
    async fn more(&mut self) -> bool {
        let read = async {
            let mut bytes = vec![0; 64 << 10];
            let count = match &mut self.wire {
                Wire::Plain(stream) => stream.read(&mut bytes).await,
                Wire::Tls(stream) => stream.read(&mut bytes).await,
                Wire::WebSocket(socket) => loop {
                    match socket.next().await {
                        Some(Ok(Message::Text(text))) => {
                            self.unread.push_str(text.as_str());
                            return true;
                        }
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => return false,
                    }
                },
            };
            match count {
                Ok(count @ 1..) => {
                    self.unread.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
                    true
                }
                Ok(0) | Err(_) => false,
            }
        };
        let more = tokio::time::timeout(Duration::from_secs(20), read).await;
        more.unwrap_or_else(|_| panic!("nothing more in time after {:?}", self.unread))
    }

    /// Opens a stream, or restarts one; gives the answer with the features.
    pub(crate) async fn open(&mut self) -> String {
        self.send(&self.header()).await;
        self.until("</stream:features>").await
    }

    pub(crate) fn header(&self) -> String {
        match self.wire {
            Wire::WebSocket(_) => format!("<open {FRAMING} to='localhost' version='1.0' xml:lang='en'/>"),
            Wire::Plain(_) | Wire::Tls(_) => HEADER.to_owned(),
        }
    }

    /// The data of `tls-exporter` (RFC 9266) or `tls-server-end-point` (RFC 5929), as the client sees them. The certificates of these
    /// tests are signed with SHA-256.
    pub(crate) fn binding(&self, kind: &str) -> Vec<u8> {
        let stream = match &self.wire {
            Wire::Plain(_) => panic!("no TLS"),
            Wire::Tls(stream) => stream,
            Wire::WebSocket(socket) => socket.get_ref(),
        };
        let connection = stream.get_ref().1;
        match kind {
            "tls-exporter" => connection
                .export_keying_material(vec![0; 32], b"EXPORTER-Channel-Binding", Some(b""))
                .unwrap(),
            "tls-server-end-point" => Sha256::digest(&connection.peer_certificates().unwrap()[0]).to_vec(),
            kind => panic!("{kind}"),
        }
    }

    pub(crate) async fn external(&mut self) {
        self.send(&format!("<auth {SASL} mechanism='EXTERNAL'>=</auth>")).await;
        self.until(&format!("<success {SASL}/>")).await;
    }

    pub(crate) async fn scram(&mut self, user: &str) {
        let scram = Scram::new(user);
        self.send(&scram.auth()).await;
        let challenge = self.until("</challenge>").await;
        let (response, success) = scram.respond(&challenge, &format!("{user}'s password"));
        self.send(&response).await;
        self.until(&success).await;
    }

    /// Binds; gives the full JID.
    pub(crate) async fn bind(&mut self, resource: &str) -> String {
        let resource = format!("<resource>{resource}</resource>");
        self.send(&format!(
            "<iq {CLIENT} type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{resource}</bind></iq>"
        ))
        .await;
        between(&self.until("</iq>").await, "<jid>", "</jid>").to_owned()
    }

    /// Enables stream management; gives the session's id.
    pub(crate) async fn enable(&mut self) -> String {
        self.send(&format!("<enable {SM} resume='true'/>")).await;
        let enabled = self.until("/>").await;
        assert!(
            enabled.contains(&format!("<enabled {SM} resume='true' id='")),
            "{enabled}"
        );
        between(&enabled, " id='", "'").to_owned()
    }

    pub(crate) async fn message(&mut self, to: &str, text: &str) {
        self.send(&format!("<message {CLIENT} to='{to}'><body>{text}</body></message>"))
            .await;
    }

    /// A round trip: all that was sent before has been handled, and all that came with it is read.
    pub(crate) async fn ping(&mut self, id: &str) -> String {
        let ping = format!("<iq {CLIENT} type='get' id='{id}' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>");
        self.send(&ping).await;
        let before = self.until(&format!("id='{id}'")).await;
        self.until("</iq>").await;
        before
    }
}

pub(crate) async fn handshake(
    stream: TcpStream,
    config: rustls::ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

pub(crate) async fn upgrade(
    server: &Server,
    authority: &Authority,
    identity: Option<&Identity>,
    protocol: Option<&'static str>,
) -> Result<WebSocketStream<TlsStream<TcpStream>>, tungstenite::Error> {
    let stream = TcpStream::connect(server.address()).await?;
    let stream = handshake(stream, tls(authority, identity).unwrap()).await?;
    let url = server.websocket_url().expect("a personality with WebSocket");
    let mut request = url.into_client_request()?;
    if let Some(protocol) = protocol {
        let protocol = tungstenite::http::HeaderValue::from_static(protocol);
        request.headers_mut().insert("sec-websocket-protocol", protocol);
    }
    Ok(tokio_tungstenite::client_async(request, stream).await?.0)
}
