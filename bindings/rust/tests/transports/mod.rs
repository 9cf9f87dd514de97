//! Every transport of the driver against the dev server on loopback, sessions that survive, and what is kept of them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use epode::config::{Acknowledge, Bosh, Discover, Persist, Tcp, Transport, WebSocket};
use epode::record::Log as Recorded;
use epode::{Event, Offline, Slot, TcpTls, TransportKind};
use epode_devserver::{Cut, Server, Transport as Door};
use epode_tokio::{CallError, Client, FileStore, Store};
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::SRV;
use hickory_proto::rr::{Name, RData, Record};
use tokio::net::UdpSocket;

use crate::support::{Authority, Log, chat, message, online, within};

fn tcp(address: SocketAddr, tls: TcpTls) -> Transport {
    let host = address.ip().to_string();
    let port = address.port();
    Transport::Tcp(Tcp { host, port, tls })
}

fn starttls(server: &Server) -> Transport {
    tcp(server.starttls_address(), TcpTls::StartTls)
}

pub(crate) fn transports(server: &Server) -> [(Transport, TransportKind); 4] {
    let url = server.websocket_url().unwrap();
    [
        (starttls(server), TransportKind::Tcp),
        (tcp(server.direct_tls_address(), TcpTls::Direct), TransportKind::Tcp),
        (Transport::WebSocket(WebSocket { url }), TransportKind::WebSocket),
        (Transport::Bosh(Bosh::new(server.bosh_url())), TransportKind::Bosh),
    ]
}

/// Waits for the next `Online`, through interruptions: how it travels, and whether a session goes on.
async fn online_again(client: &mut Client) -> (TransportKind, bool) {
    within(async {
        loop {
            let event = client.next().await.expect("an event");
            assert!(!matches!(event, Event::Offline { .. }), "{event:?}");
            if let Event::Online { transport, resumed, .. } = event {
                return (transport, resumed);
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_certificate_logs_in_over_every_transport_and_messages_travel() {
    let authority = Authority::new();
    let server = authority.serve(|_| {}).await;
    let mut other = authority
        .by(starttls(&server), "user02", |c| c)
        .connect()
        .await
        .unwrap();
    let (other_jid, _) = online(&mut other).await;
    for (transport, kind) in transports(&server) {
        let mut client = authority.by(transport, "user01", |c| c).connect().await.unwrap();
        assert_eq!(online_again(&mut client).await, (kind, false));
        client.send(chat(&other_jid, kind.name())).await.unwrap();
        assert_eq!(message(&mut other).await, kind.name());
        assert_eq!(within(client.stop()).await, Offline::Stopped, "{kind:?}");
    }
    within(other.stop()).await;
    assert_eq!(server.violations(), [""; 0]);
}

/// A name server that knows one service.
async fn name_server(service: &'static str, port: u16) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1_500];
        loop {
            let (count, from) = socket.recv_from(&mut buffer).await.unwrap();
            let mut message = Message::from_vec(&buffer[..count]).unwrap();
            message.metadata.message_type = MessageType::Response;
            let name = message.queries[0].name().clone();
            if name.to_ascii() == service {
                let target = Name::from_ascii("chat.example.").unwrap();
                message.add_answer(Record::from_rdata(name, 60, RData::SRV(SRV::new(1, 1, port, target))));
            } else {
                message.metadata.response_code = ResponseCode::NXDomain;
            }
            socket.send_to(&message.to_vec().unwrap(), from).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn the_way_is_found_by_dns() {
    let authority = Authority::new();
    let server = authority.serve(|_| {}).await;
    for (service, port) in [
        ("_xmpps-client._tcp.localhost.", server.direct_tls_address().port()),
        ("_xmpp-client._tcp.localhost.", server.starttls_address().port()),
    ] {
        let builder = authority.by(Transport::Discover(Discover::default()), "user01", |c| c);
        let anywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let builder = builder
            .nameserver(name_server(service, port).await)
            .resolve("chat.example", anywhere);
        let mut client = builder.connect().await.unwrap();
        assert_eq!(online_again(&mut client).await.0, TransportKind::Tcp, "{service}");
        within(client.stop()).await;
    }
    assert_eq!(server.violations(), [""; 0]);
}

#[tokio::test]
async fn a_cut_connection_is_an_interruption_and_the_session_goes_on() {
    let authority = Authority::new();
    let server = authority.serve(|_| {}).await;
    let mut client = authority
        .by(starttls(&server), "user01", |c| c)
        .connect()
        .await
        .unwrap();
    let (jid, _) = online(&mut client).await;
    // The answer to this is behind the one that makes the session resumable.
    client.send(chat(&jid, "before")).await.unwrap();
    assert_eq!(message(&mut client).await, "before");
    assert_eq!(server.control().cut(Door::StartTls, Cut::Reset), 1);
    client.send(chat(&jid, "to myself")).await.unwrap();
    assert_eq!(online_again(&mut client).await, (TransportKind::Tcp, true));
    assert_eq!(message(&mut client).await, "to myself");
    assert_eq!(within(client.stop()).await, Offline::Stopped);
    assert_eq!(server.statistics().resumes, 1);
    assert_eq!(server.violations(), [""; 0]);
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("epode-transports-{}-{name}", std::process::id()));
    // A leftover of another run.
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_is_followed_by_one_that_goes_on() {
    let authority = Authority::new();
    let server = authority.serve(|_| {}).await;
    let folder = folder("dies");
    let builder = |store: FileStore| {
        authority
            .by(starttls(&server), "user01", |config| config.persist(Persist::EveryTurn))
            .store(store)
    };
    // A runtime of its own, which ends as a process does: without a word.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let first = builder(FileStore::new(&folder).unwrap());
    let jid = runtime
        .spawn(async move {
            let mut client = first.connect().await.unwrap();
            let (jid, _) = online(&mut client).await;
            // The answer to this is behind the one that makes the session resumable.
            client.send(chat(&jid, "before")).await.unwrap();
            assert_eq!(message(&mut client).await, "before");
            // It is answered once everything is stored.
            client.pause(std::time::Duration::from_secs(60)).await.unwrap();
            std::mem::forget(client);
            jid
        })
        .await
        .unwrap();
    runtime.shutdown_background();
    let mut second = builder(FileStore::new(&folder).unwrap()).connect().await.unwrap();
    assert_eq!(second.not_restored(), []);
    assert_eq!(online_again(&mut second).await, (TransportKind::Tcp, true));
    second.send(chat(&jid, "still here")).await.unwrap();
    assert_eq!(message(&mut second).await, "still here");
    within(second.stop()).await;
    assert_eq!(server.statistics().resumes, 1);
    std::fs::remove_dir_all(folder).unwrap();
}

/// No room for anything.
struct Full;

impl Store for Full {
    fn load(&mut self, _: Slot) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn write(&mut self, _: Slot, _: bool, _: &[u8]) -> io::Result<()> {
        Err(io::Error::other("no space left"))
    }
}

#[tokio::test]
async fn what_cannot_be_stored_ends_the_client_and_says_so() {
    let authority = Authority::new();
    let server = authority.serve(|_| {}).await;
    let builder = authority.by(starttls(&server), "user01", |config| config.persist(Persist::EveryTurn));
    let mut client = builder.store(Full).connect().await.unwrap();
    let reason = within(async {
        loop {
            if let Event::Offline { reason } = client.next().await.expect("an event") {
                return reason;
            }
        }
    })
    .await;
    let reason = reason.to_string();
    assert!(
        reason.contains("could not be stored") && reason.contains("no space left"),
        "{reason}"
    );
    assert_eq!(client.start().await, Err(CallError::Gone));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_application_stops_the_reading_of_a_connection_and_loses_nothing() {
    const MESSAGES: usize = 400;
    let authority = Authority::new();
    let server = authority.serve(|_| {}).await;
    for (transport, kind) in transports(&server).into_iter().take(3) {
        let log = Log::default();
        let receiver = log.on(authority.by(transport, "user02", |c| c));
        let mut receiver = receiver.connect().await.unwrap();
        let mut sender = authority
            .by(starttls(&server), "user01", |c| c)
            .connect()
            .await
            .unwrap();
        online(&mut sender).await;
        let (jid, _) = online(&mut receiver).await;
        for number in 0..MESSAGES {
            sender.send(chat(&jid, &number.to_string())).await.unwrap();
        }
        within(async {
            while log.count("reading false") == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
        for number in 0..MESSAGES {
            assert_eq!(message(&mut receiver).await, number.to_string(), "{kind:?}");
        }
        assert!(log.count("reading true") > 0);
        within(sender.stop()).await;
        within(receiver.stop()).await;
    }
    assert_eq!(server.violations(), [""; 0]);
}

#[tokio::test]
async fn a_stanza_is_handled_when_the_application_says_so() {
    let authority = Authority::new();
    let server = authority.serve(|_| {}).await;
    let manual = |c: epode::ConfigBuilder| c.acknowledge(Acknowledge::Manual);
    let mut client = authority
        .by(starttls(&server), "user01", manual)
        .connect()
        .await
        .unwrap();
    let (jid, _) = online(&mut client).await;
    client.send(chat(&jid, "to myself")).await.unwrap();
    let token = within(async {
        loop {
            if let Event::Stanza { token, .. } = client.next().await.expect("an event") {
                return token;
            }
        }
    })
    .await;
    client.handled(token.expect("a token")).await.unwrap();
    within(client.stop()).await;
    assert_eq!(server.violations(), [""; 0]);
}

/// A log in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_of_a_client_replays_to_the_same_bytes() {
    let authority = Authority::new();
    let server = authority.serve(|_| {}).await;
    for (transport, kind) in transports(&server) {
        let memory = Memory::default();
        let builder = authority.by(transport, "user01", |c| c).record(memory.clone());
        let mut client = builder.connect().await.unwrap();
        online(&mut client).await;
        within(client.stop()).await;
        let text = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
        let log = Recorded::read(&text).unwrap();
        assert_eq!(log.replay().unwrap().to_text(), text, "{kind:?}");
    }
}
