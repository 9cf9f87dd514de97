//! SRV records (RFC 2782): one question to the system's name servers, or to the one that the application names.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use epode::{Failure, SrvRecord};
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::tls;

/// How long one name server may take before the next one is asked, and the first one again.
const ONE_TRY: Duration = Duration::from_secs(2);

/// The largest UDP answer that is asked for: it fits into one packet everywhere (RFC 9715 §3.1).
const UDP_ANSWER: u16 = 1232;

/// Where Unix systems name their name servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";

const PORT: u16 = 53;

/// Asks name servers.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    /// Those of the application; without any, the system's.
    pub(crate) servers: Vec<SocketAddr>,
}

impl Resolver {
    /// The SRV records of `name`; none, where it has none or does not exist. It asks again and again: the caller knows how
    /// long it can wait.
    pub(crate) async fn srv(&self, name: &str) -> Result<Vec<SrvRecord>, Failure> {
        // The name is whole: no search list of the system's applies to it.
        let name = Name::from_ascii(format!("{}.", name.trim_end_matches('.'))).map_err(|_| Failure::Dns)?;
        let servers = self.servers().await?;
        if servers.is_empty() {
            return Err(Failure::Other {
                reason: format!("no name server is known: {RESOLV_CONF} names none"),
            });
        }
        loop {
            // A server that is silent is asked again; one that has said that it cannot help is not.
            let mut silent = false;
            for server in &servers {
                match tokio::time::timeout(ONE_TRY, ask(*server, &name)).await {
                    Ok(Ok(records)) => return Ok(records),
                    Ok(Err(_)) => {}
                    Err(_) => silent = true,
                }
            }
            if !silent {
                return Err(Failure::Dns);
            }
        }
    }

    async fn servers(&self) -> Result<Vec<SocketAddr>, Failure> {
        if !self.servers.is_empty() {
            return Ok(self.servers.clone());
        }
        // Read for each question: a device that moves gets other servers.
        let read = tokio::task::spawn_blocking(|| std::fs::read(RESOLV_CONF)).await;
        let text = read.map_err(|_| Failure::Dns)?.map_err(|error| Failure::Other {
            reason: format!("no name server is known: {RESOLV_CONF} cannot be read: {error}"),
        })?;
        let (config, _) = resolv_conf::Config::parse_with_errors(&text);
        // An address with the name of an interface in it is left out: there is no port for the name.
        let plain = config
            .nameservers
            .iter()
            .filter_map(|server| IpAddr::from_str(&server.to_string()).ok());
        Ok(plain.map(|address| SocketAddr::new(address, PORT)).collect())
    }
}

/// One question to one server: over UDP, and over TCP where the answer does not fit.
async fn ask(server: SocketAddr, name: &Name) -> io::Result<Vec<SrvRecord>> {
    let mut id = [0; 2];
    id.copy_from_slice(tls::random_seed().unwrap_or_default().get(..2).unwrap_or(&[0, 0]));
    let mut question = Message::new(u16::from_be_bytes(id), MessageType::Query, OpCode::Query);
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name.clone(), RecordType::SRV));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_ANSWER);
    question.set_edns(edns);
    let bytes = question.to_vec().map_err(io::Error::other)?;
    let mut answer = over_udp(server, &question, &bytes).await?;
    if answer.metadata.truncation {
        answer = over_tcp(server, &question, &bytes).await?;
    }
    let code = answer.metadata.response_code;
    if code == ResponseCode::NoError {
        return Ok(records(&answer, name));
    }
    // RFC 2308 §2.1: that there is none is an answer too.
    if code == ResponseCode::NXDomain {
        return Ok(Vec::new());
    }
    Err(io::Error::other(code.to_string()))
}

async fn over_udp(server: SocketAddr, question: &Message, bytes: &[u8]) -> io::Result<Message> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // A port of the system's choice and a connected socket: whoever wants to answer in the server's place has to guess both.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = [0; 4096];
    loop {
        let count = socket.recv(&mut buffer).await?;
        // What is no answer to this question is somebody else's: the right one may still come.
        if let Ok(message) = Message::from_vec(buffer.get(..count).unwrap_or_default())
            && answers(&message, question)
        {
            return Ok(message);
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &Message, bytes: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    // RFC 7766 §8: in one packet with the length.
    let framed: Vec<u8> = length.to_be_bytes().iter().chain(bytes).copied().collect();
    stream.write_all(&framed).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    let message = Message::from_vec(&answer).map_err(io::Error::other)?;
    if !answers(&message, question) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(message)
}

/// RFC 5452 §9.1: the id and the question come back.
fn answers(message: &Message, question: &Message) -> bool {
    message.metadata.message_type == MessageType::Response
        && message.metadata.id == question.metadata.id
        && message.queries == question.queries
}

/// The records of the name, or of what it is an alias of.
fn records(answer: &Message, name: &Name) -> Vec<SrvRecord> {
    let mut owner = name;
    // Servers give aliases in their order; no chain is longer than the answer.
    for record in &answer.answers {
        if let RData::CNAME(alias) = &record.data
            && record.name == *owner
        {
            owner = &alias.0;
        }
    }
    let of_owner = answer.answers.iter().filter(|record| record.name == *owner);
    of_owner
        .filter_map(|record| {
            let RData::SRV(srv) = &record.data else { return None };
            let target = srv.target.to_ascii();
            Some(SrvRecord {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                // A lone dot is what says that there is no such service.
                target: match target.trim_end_matches('.') {
                    "" => ".".to_owned(),
                    host => host.to_owned(),
                },
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::{CNAME, SRV};
    use tokio::net::TcpListener;

    use super::*;

    const NAME: &str = "_xmpp-client._tcp.example.org";

    fn name(name: &str) -> Name {
        Name::from_ascii(name).unwrap()
    }

    fn srv(owner: &str, priority: u16, target: &str) -> Record {
        Record::from_rdata(name(owner), 60, RData::SRV(SRV::new(priority, 5, 5222, name(target))))
    }

    /// A name server that answers each question with what `answer` makes of it; over TCP with what `long` makes.
    async fn serve(
        answer: impl Fn(&mut Message) + Send + 'static,
        long: impl Fn(&mut Message) + Send + 'static,
    ) -> Resolver {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let listener = TcpListener::bind(address).await.unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 1_500];
            loop {
                let (count, from) = socket.recv_from(&mut buffer).await.unwrap();
                let mut message = Message::from_vec(&buffer[..count]).unwrap();
                message.metadata.message_type = MessageType::Response;
                // Somebody else's answer comes first.
                let mut forged = message.clone();
                forged.metadata.id = forged.metadata.id.wrapping_add(1);
                forged.add_answer(srv("_xmpp-client._tcp.example.org.", 1, "evil.example."));
                socket.send_to(&forged.to_vec().unwrap(), from).await.unwrap();
                answer(&mut message);
                socket.send_to(&message.to_vec().unwrap(), from).await.unwrap();
            }
        });
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut question = vec![0; usize::from(stream.read_u16().await.unwrap())];
                stream.read_exact(&mut question).await.unwrap();
                let mut message = Message::from_vec(&question).unwrap();
                message.metadata.message_type = MessageType::Response;
                long(&mut message);
                let bytes = message.to_vec().unwrap();
                stream.write_u16(bytes.len().try_into().unwrap()).await.unwrap();
                stream.write_all(&bytes).await.unwrap();
            }
        });
        Resolver { servers: vec![address] }
    }

    fn nothing(_: &mut Message) {}

    #[tokio::test]
    async fn records_are_found_through_an_alias_and_those_of_others_are_not() {
        let resolver = serve(
            |message| {
                assert!(message.metadata.recursion_desired);
                let alias = RData::CNAME(CNAME(name("x.example.net.")));
                message.add_answer(Record::from_rdata(name("_XMPP-client._tcp.example.org."), 60, alias));
                message.add_answer(srv("x.example.net.", 10, "chat.example.org."));
                message.add_answer(srv("x.example.net.", 20, "."));
                message.add_answer(srv("other.example.", 1, "evil.example."));
            },
            nothing,
        )
        .await;
        let record = |priority, target: &str| SrvRecord {
            priority,
            weight: 5,
            port: 5222,
            target: target.to_owned(),
        };
        assert_eq!(
            resolver.srv(NAME).await,
            Ok(vec![record(10, "chat.example.org"), record(20, ".")])
        );
    }

    #[tokio::test]
    async fn what_does_not_fit_is_asked_again_over_tcp() {
        let resolver = serve(
            |message| message.metadata.truncation = true,
            |message| {
                for number in 0..100 {
                    message.add_answer(srv("_xmpp-client._tcp.example.org.", number, "chat.example.org."));
                }
            },
        )
        .await;
        assert_eq!(resolver.srv(NAME).await.unwrap().len(), 100);
    }

    #[tokio::test]
    async fn no_such_name_is_no_records_and_no_help_is_a_failure() {
        for (code, expected) in [
            (ResponseCode::NXDomain, Ok(Vec::new())),
            (ResponseCode::NoError, Ok(Vec::new())),
            (ResponseCode::ServFail, Err(Failure::Dns)),
            (ResponseCode::Refused, Err(Failure::Dns)),
        ] {
            let resolver = serve(move |message| message.metadata.response_code = code, nothing).await;
            assert_eq!(resolver.srv(NAME).await, expected, "{code}");
        }
    }

    #[tokio::test]
    async fn a_server_that_cannot_help_is_followed_by_one_that_can() {
        let mut resolver = serve(
            |message| message.metadata.response_code = ResponseCode::ServFail,
            nothing,
        )
        .await;
        let other = serve(
            |message| {
                message.add_answer(srv("_xmpp-client._tcp.example.org.", 1, "chat.example.org."));
            },
            nothing,
        )
        .await;
        resolver.servers.extend(other.servers);
        assert_eq!(resolver.srv(NAME).await.unwrap().len(), 1);
    }
}
