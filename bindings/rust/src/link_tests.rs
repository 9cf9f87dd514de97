//! Links over real sockets against small scripted servers: what the engine would be told.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use epode::{Endpoint, Failure, Input, LinkId, LinkInfo, TcpTls, Verified};
use rcgen::{CertificateParams, KeyPair};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::dial::Dialer;
use crate::dns::Resolver;
use crate::http;
use crate::link::{Environment, Link, Opening, Order, Wires};
use crate::tls;

const LINK: LinkId = LinkId(7);

/// A server's certificate for example.org, and a client's environment that trusts it and knows where the host is.
struct Stage {
    server: ServerConfig,
    environment: Arc<Environment>,
    listener: TcpListener,
}

/// A link as the actor holds it.
struct Held {
    link: Link,
    arrivals: mpsc::Receiver<Input<'static>>,
    news: mpsc::Receiver<Input<'static>>,
}

impl Stage {
    async fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["example.org".to_owned(), "chat.example.org".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key.serialize_der().try_into().unwrap())
            .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut dialer = Dialer::default();
        dialer.know("chat.example.org", listener.local_addr().unwrap());
        let environment = Environment {
            tls: tls::base_config(roots).unwrap(),
            dialer,
            resolver: Resolver::default(),
        };
        Self {
            server,
            environment: Arc::new(environment),
            listener,
        }
    }

    fn open(&self, endpoint: Endpoint, server_name: &str, max_message: usize) -> Held {
        let (arrivals_sender, arrivals) = mpsc::channel(1);
        let (news_sender, news) = mpsc::channel(1);
        let wires = Wires {
            arrivals: arrivals_sender,
            news: news_sender,
        };
        let opening = Opening {
            link: LINK,
            server_name: server_name.to_owned(),
            identity: None,
            max_message,
        };
        let link = Link::open(opening, endpoint, &self.environment, wires).unwrap();
        Held { link, arrivals, news }
    }

    fn open_tcp(&self, tls: TcpTls) -> Held {
        let host = "chat.example.org".to_owned();
        self.open(Endpoint::Tcp { host, port: 5222, tls }, "example.org", 1_000)
    }

    fn open_websocket(&self) -> Held {
        let url = "wss://chat.example.org/ws".to_owned();
        self.open(Endpoint::WebSocket { url }, "chat.example.org", 1_000)
    }

    async fn accept(&self) -> TcpStream {
        within(self.listener.accept()).await.unwrap().0
    }

    async fn accept_tls(&self, alpn: &[&str]) -> TlsStream<TcpStream> {
        let stream = self.accept().await;
        self.secure(stream, alpn).await.unwrap()
    }

    async fn secure(&self, stream: TcpStream, alpn: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = self.server.clone();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        within(TlsAcceptor::from(Arc::new(config)).accept(stream)).await
    }
}

impl Held {
    async fn arrival(&mut self) -> Input<'static> {
        within(self.arrivals.recv()).await.unwrap()
    }

    async fn connected(&mut self) -> LinkInfo {
        let arrival = self.arrival().await;
        let Input::Connected { link: LINK, info } = arrival else {
            panic!("{arrival:?}")
        };
        info
    }

    async fn received(&mut self) -> Vec<u8> {
        let arrival = self.arrival().await;
        let Input::Received { link: LINK, bytes } = arrival else {
            panic!("{arrival:?}")
        };
        bytes.into_owned()
    }

    async fn failed(&mut self) -> Failure {
        let arrival = self.arrival().await;
        let Input::Failed {
            link: LINK,
            request: None,
            reason,
        } = arrival
        else {
            panic!("{arrival:?}")
        };
        reason
    }

    /// Waits until so many bytes have left.
    async fn written(&mut self, mut bytes: u64) {
        while bytes > 0 {
            let news = within(self.news.recv()).await.unwrap();
            let Input::Written {
                link: LINK,
                bytes: some,
            } = news
            else {
                panic!("{news:?}")
            };
            bytes = bytes.checked_sub(some).expect("no more than was ordered");
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.link.order(Order::Write(bytes.to_vec())).unwrap();
    }
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what)
        .await
        .expect("it hangs")
}

async fn expect(stream: &mut (impl AsyncReadExt + Unpin), expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    within(stream.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(bytes, expected);
}

#[tokio::test]
async fn direct_tls_offers_xmpp_client_and_checks_the_name_of_the_domain() {
    let stage = Stage::new().await;
    let mut held = stage.open_tcp(TcpTls::Direct);
    let mut server = stage.accept_tls(&["http/1.1", "xmpp-client"]).await;
    assert_eq!(server.get_ref().1.server_name(), Some("example.org"));
    let info = held.connected().await;
    assert_eq!(info.alpn.as_deref(), Some("xmpp-client"));
    let name = "example.org".to_owned();
    assert_eq!((info.encrypted, info.verified), (true, Verified::Host { name }));
    assert_eq!(info.tls_version.as_deref(), Some("1.3"));
    assert_eq!(info.client_certificate_requested, Some(false));
    held.write(b"<stream>");
    held.write(b"<auth/>");
    expect(&mut server, b"<stream><auth/>").await;
    held.written(15).await;
    server.write_all(b"<success/>").await.unwrap();
    assert_eq!(held.received().await, b"<success/>");
    server.shutdown().await.unwrap();
    assert_eq!(held.arrival().await, Input::Ended { link: LINK });
}

#[tokio::test]
async fn a_server_without_the_protocol_refuses_in_tls() {
    let stage = Stage::new().await;
    let mut held = stage.open_tcp(TcpTls::Direct);
    let stream = stage.accept().await;
    assert!(stage.secure(stream, &["http/1.1"]).await.is_err());
    // RFC 7301 §3.2: no_application_protocol.
    assert_eq!(held.failed().await, Failure::TlsAlert(120));
}

#[tokio::test]
async fn a_certificate_for_another_name_is_rejected() {
    let stage = Stage::new().await;
    let endpoint = Endpoint::Tcp {
        host: "chat.example.org".to_owned(),
        port: 5222,
        tls: TcpTls::Direct,
    };
    let mut held = stage.open(endpoint, "example.com", 1_000);
    let stream = stage.accept().await;
    assert!(stage.secure(stream, &[]).await.is_err());
    let reason = held.failed().await;
    assert!(
        matches!(&reason, Failure::CertificateRejected { reason } if reason.contains("example.com")),
        "{reason:?}"
    );
}

#[tokio::test]
async fn starttls_begins_when_it_is_asked_for() {
    let stage = Stage::new().await;
    let mut held = stage.open_tcp(TcpTls::StartTls);
    let mut server = stage.accept().await;
    assert_eq!(held.connected().await, LinkInfo::default());
    held.write(b"<starttls/>");
    expect(&mut server, b"<starttls/>").await;
    held.written(11).await;
    server.write_all(b"<proceed/>").await.unwrap();
    assert_eq!(held.received().await, b"<proceed/>");
    let server_name = "example.org".to_owned();
    held.link.order(Order::StartTls { server_name }).unwrap();
    let mut server = stage.secure(server, &["xmpp-client"]).await.unwrap();
    let info = held.connected().await;
    // RFC 6120 §5 knows no ALPN.
    assert_eq!((info.encrypted, info.alpn), (true, None));
    held.write(b"<stream>");
    expect(&mut server, b"<stream>").await;
    server.write_all(b"<features/>").await.unwrap();
    assert_eq!(held.received().await, b"<features/>");
}

#[tokio::test]
async fn what_was_read_before_tls_is_handed_in_before_it_and_never_goes_into_it() {
    let stage = Stage::new().await;
    let mut held = stage.open_tcp(TcpTls::StartTls);
    let mut server = stage.accept().await;
    held.connected().await;
    server.write_all(b"<proceed/>").await.unwrap();
    assert_eq!(held.received().await, b"<proceed/>");
    // Two packets: one waits in the channel, the other with the reader, when TLS is asked for.
    server.write_all(b"<injected").await.unwrap();
    within(async {
        while held.arrivals.is_empty() {
            tokio::task::yield_now().await
        }
    })
    .await;
    server.write_all(b" xmlns='x'/>").await.unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let server_name = "example.org".to_owned();
    held.link.order(Order::StartTls { server_name }).unwrap();
    let accepting = stage.secure(server, &[]);
    let arrivals = async {
        let mut before = Vec::new();
        loop {
            let arrival = held.arrival().await;
            if let Input::Received { bytes, .. } = arrival {
                before.extend(bytes.into_owned());
            } else if let Input::Connected { info, .. } = arrival {
                return (before, info.encrypted);
            } else {
                panic!("{arrival:?}");
            }
        }
    };
    let (server, (before, encrypted)) = tokio::join!(accepting, arrivals);
    server.unwrap();
    assert_eq!(before, b"<injected xmlns='x'/>");
    assert!(encrypted);
}

#[tokio::test]
async fn a_closed_link_flushes_and_says_goodbye() {
    let stage = Stage::new().await;
    let mut held = stage.open_tcp(TcpTls::Direct);
    let mut server = stage.accept_tls(&[]).await;
    held.connected().await;
    let large = vec![b'x'; 1_000_000];
    held.write(&large);
    held.write(b"</stream>");
    drop(held.link);
    let mut all = Vec::new();
    // Without TLS's own goodbye, reading to the end would be an error.
    let reading = async { server.read_to_end(&mut all).await.unwrap() };
    let news = async { while held.news.recv().await.is_some() {} };
    within(async { tokio::join!(reading, news) }).await;
    assert_eq!(all.len(), large.len() + 9);
    assert!(all.ends_with(b"</stream>"));
}

#[tokio::test]
async fn bytes_count_as_written_only_once_they_have_left() {
    let stage = Stage::new().await;
    let mut held = stage.open_tcp(TcpTls::StartTls);
    let mut server = stage.accept().await;
    held.connected().await;
    const ALL: usize = 20_000_000;
    held.write(&vec![b'x'; ALL]);
    // The server reads nothing: what fits into the buffers of both ends leaves, and no more.
    let mut left = 0;
    while let Ok(Some(Input::Written { bytes, .. })) =
        tokio::time::timeout(Duration::from_millis(500), held.news.recv()).await
    {
        left += bytes;
    }
    assert!(left < ALL as u64, "{left} bytes are in no buffer");
    let reading = async { server.read_exact(&mut vec![0; ALL]).await.unwrap() };
    within(async { tokio::join!(reading, held.written(ALL as u64 - left)) }).await;
}

#[tokio::test]
async fn a_peer_that_takes_nothing_cannot_fill_the_memory() {
    let stage = Stage::new().await;
    let mut held = stage.open_tcp(TcpTls::StartTls);
    let _server = stage.accept().await;
    held.connected().await;
    let megabyte = || Order::Write(vec![0; 1_000_000]);
    let taken = (0..100).take_while(|_| held.link.order(megabyte()).is_ok()).count();
    assert!((30..60).contains(&taken), "{taken}");
}

#[tokio::test]
async fn nothing_more_is_read_while_nobody_takes_what_arrived() {
    const ALL: usize = 50_000_000;
    let stage = Stage::new().await;
    let mut held = stage.open_tcp(TcpTls::StartTls);
    let mut server = stage.accept().await;
    held.connected().await;
    let mut sent = 0;
    let chunk = [b'x'; 64 * 1024];
    // What leaves the server is in the driver, or in the system's buffers. When these are full, nothing leaves any more.
    while sent < ALL {
        match tokio::time::timeout(Duration::from_secs(1), server.write(&chunk)).await {
            Ok(count) => sent += count.unwrap(),
            Err(_) => break,
        }
    }
    assert!(sent < ALL / 2, "{sent} bytes were read although nobody wanted them");
    drop(server);
    let mut taken = 0;
    while let Input::Received { bytes, .. } = held.arrival().await {
        assert!(bytes.len() <= 16 * 1024, "{}", bytes.len());
        taken += bytes.len();
    }
    assert_eq!(taken, sent);
}

/// A WebSocket server that selects `subprotocol`.
async fn websocket(
    stage: &Stage,
    subprotocol: Option<&'static str>,
) -> tokio_tungstenite::WebSocketStream<TlsStream<TcpStream>> {
    let stream = stage.accept_tls(&["http/1.1"]).await;
    #[expect(clippy::result_large_err, reason = "the library's own signature")]
    let select = |request: &Request, mut response: Response| {
        assert_eq!(request.headers()["sec-websocket-protocol"], "xmpp");
        assert_eq!(request.headers()["host"], "chat.example.org");
        assert_eq!(request.uri().path(), "/ws");
        assert!(!request.headers().contains_key("sec-websocket-extensions"));
        if let Some(subprotocol) = subprotocol {
            let headers = response.headers_mut();
            headers.insert("sec-websocket-protocol", subprotocol.parse().unwrap());
        }
        Ok(response)
    };
    within(tokio_tungstenite::accept_hdr_async(stream, select))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_websocket_carries_one_text_message_for_each_frame() {
    use futures_util::{SinkExt, StreamExt};
    let stage = Stage::new().await;
    let mut held = stage.open_websocket();
    let mut server = websocket(&stage, Some("xmpp")).await;
    let info = held.connected().await;
    assert_eq!(info.subprotocol.as_deref(), Some("xmpp"));
    assert!(info.encrypted);
    for text in ["<open/>", "<ä/>"] {
        held.link.order(Order::Frame(text.to_owned())).unwrap();
    }
    for text in ["<open/>", "<ä/>"] {
        assert_eq!(within(server.next()).await.unwrap().unwrap(), Message::text(text));
    }
    held.written(12).await;
    server.send(Message::Ping(Bytes::from_static(b"?"))).await.unwrap();
    server.send(Message::text("<a/>")).await.unwrap();
    server.send(Message::text("<b/>")).await.unwrap();
    assert_eq!(held.received().await, b"<a/>");
    assert_eq!(held.received().await, b"<b/>");
    let pong = within(server.next()).await.unwrap().unwrap();
    assert_eq!(pong, Message::Pong(Bytes::from_static(b"?")));
    server.close(None).await.unwrap();
    assert_eq!(held.arrival().await, Input::Ended { link: LINK });
    let answer = within(server.next()).await;
    assert!(matches!(answer, Some(Ok(Message::Close(_))) | None), "{answer:?}");
}

#[tokio::test]
async fn a_missing_subprotocol_is_for_the_engine_to_judge() {
    let stage = Stage::new().await;
    let mut held = stage.open_websocket();
    let _server = websocket(&stage, None).await;
    assert_eq!(held.connected().await.subprotocol, None);
}

#[tokio::test]
async fn a_closed_websocket_flushes_and_says_goodbye() {
    use futures_util::StreamExt;
    let stage = Stage::new().await;
    let mut held = stage.open_websocket();
    let mut server = websocket(&stage, Some("xmpp")).await;
    held.connected().await;
    held.link.order(Order::Frame("<close/>".to_owned())).unwrap();
    drop(held.link);
    assert_eq!(within(server.next()).await.unwrap().unwrap(), Message::text("<close/>"));
    let goodbye = within(server.next()).await.unwrap().unwrap();
    assert!(matches!(goodbye, Message::Close(_)), "{goodbye:?}");
}

#[tokio::test]
async fn messages_that_xmpp_has_no_use_for_end_a_websocket() {
    use futures_util::SinkExt;
    for (message, expected) in [
        (Message::binary(vec![1, 2]), "binary message"),
        (Message::text("x".repeat(1_001)), "larger than 1000 bytes"),
    ] {
        let stage = Stage::new().await;
        let mut held = stage.open_websocket();
        let mut server = websocket(&stage, Some("xmpp")).await;
        held.connected().await;
        server.send(message).await.unwrap();
        let reason = held.failed().await;
        assert!(
            matches!(&reason, Failure::Other { reason } if reason.contains(expected)),
            "{reason:?}"
        );
    }
}

#[tokio::test]
async fn an_http_answer_that_is_no_upgrade_says_its_status() {
    let stage = Stage::new().await;
    let mut held = stage.open_websocket();
    let mut server = stage.accept_tls(&[]).await;
    let mut request = [0; 64];
    within(server.read(&mut request)).await.unwrap();
    server
        .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
        .await
        .unwrap();
    let reason = held.failed().await;
    assert!(
        matches!(&reason, Failure::Http { reason } if reason.contains("404")),
        "{reason:?}"
    );
}

/// A server that answers one GET.
async fn answer_get(stage: &Stage, answer: String) -> Result<Vec<u8>, Failure> {
    let serving = async {
        let mut server = stage.accept_tls(&["http/1.1"]).await;
        let mut request = vec![0; 4_096];
        let count = within(server.read(&mut request)).await.unwrap();
        let request = String::from_utf8_lossy(&request[..count]).into_owned();
        assert!(
            request.starts_with("GET /.well-known/host-meta.json HTTP/1.1\r\n"),
            "{request}"
        );
        server.write_all(answer.as_bytes()).await.unwrap();
        let _ = server.shutdown().await;
    };
    let url = "https://chat.example.org/.well-known/host-meta.json";
    let getting = http::document(&stage.environment, url, 100);
    within(async { tokio::join!(serving, getting) }).await.1
}

#[tokio::test]
async fn a_document_is_whole_and_small_and_not_moved() {
    let stage = Stage::new().await;
    let with_length = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_owned();
    assert_eq!(answer_get(&stage, with_length).await, Ok(b"{}".to_vec()));
    let to_the_end = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}".to_owned();
    assert_eq!(answer_get(&stage, to_the_end).await, Ok(b"{}".to_vec()));
    for (answer, expected) in [
        (
            "HTTP/1.1 302 Found\r\nlocation: https://other.example/\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "302",
        ),
        (
            format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(101)),
            "larger than 100 bytes",
        ),
        (
            format!("HTTP/1.1 200 OK\r\ncontent-length: 101\r\n\r\n{}", "x".repeat(101)),
            "larger than 100 bytes",
        ),
    ] {
        let failure = answer_get(&stage, answer).await.unwrap_err();
        assert!(
            matches!(&failure, Failure::Http { reason } if reason.contains(expected)),
            "{failure:?}"
        );
    }
    let plain = http::document(&stage.environment, "http://chat.example.org/x", 100).await;
    assert!(matches!(plain, Err(Failure::Other { .. })), "{plain:?}");
}

#[tokio::test]
async fn an_address_in_use_by_nobody_fails() {
    let stage = Stage::new().await;
    let address: SocketAddr = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        listener.local_addr().unwrap()
    };
    let endpoint = Endpoint::Tcp {
        host: address.ip().to_string(),
        port: address.port(),
        tls: TcpTls::StartTls,
    };
    let mut held = stage.open(endpoint, "example.org", 1_000);
    assert_eq!(held.failed().await, Failure::Refused);
}
