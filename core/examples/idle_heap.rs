//! What an idle client holds: `idle_heap` logs in on each transport against a scripted server, drains everything, and prints
//! the heap that the client takes then, without sockets and TLS. Fails where that is more than 4 KiB.

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use epode::{
    Client, Config, ConfigBuilder, Credentials, Event, Input, Instant, Jid, LinkId, LinkInfo, Output, RequestId, TcpTls,
};

/// The promise.
const LIMIT: usize = 4 * 1024;

fn main() -> ExitCode {
    let mut worst = 0;
    for (name, transport) in [
        ("tcp", Transport::Tcp),
        ("websocket", Transport::WebSocket),
        ("bosh", Transport::Bosh),
    ] {
        let before = LIVE.load(Ordering::Relaxed);
        let client = match logged_in(transport) {
            Ok(client) => client,
            Err(error) => {
                eprintln!("idle_heap: {name}: {error}");
                return ExitCode::FAILURE;
            }
        };
        let bytes = LIVE.load(Ordering::Relaxed) - before + size_of::<Client>();
        println!("transport={name} bytes={bytes} object={}", size_of::<Client>());
        worst = worst.max(bytes);
        drop(client);
    }
    if worst > LIMIT {
        eprintln!("idle_heap: more than {LIMIT} bytes");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    Tcp,
    WebSocket,
    Bosh,
}

const FEATURES: [&str; 2] = [
    "<stream:features xmlns:stream='http://etherx.jabber.org/streams'><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
     <mechanism>EXTERNAL</mechanism></mechanisms></stream:features>",
    "<stream:features xmlns:stream='http://etherx.jabber.org/streams'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
     <sm xmlns='urn:xmpp:sm:3'/><csi xmlns='urn:xmpp:csi:0'/></stream:features>",
];
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const ENABLED: &str = "<enabled xmlns='urn:xmpp:sm:3' id='0123456789abcdef' resume='true' max='300'/>";

/// A client that is online, with nothing to do.
fn logged_in(transport: Transport) -> Result<Client, String> {
    let config = config(transport)?.build().map_err(|error| error.to_string())?;
    let mut client = Client::new(config, [7; 32]);
    say(&mut client, Input::Start)?;
    let mut server = Server {
        transport,
        streams: 0,
        rid: 0,
    };
    for _ in 0..100 {
        let Some(output) = client.next() else {
            return if client.jid().is_some() {
                Ok(client)
            } else {
                Err("not online".to_string())
            };
        };
        server.carry_out(&mut client, output)?;
    }
    Err("it does not come to rest".to_string())
}

fn config(transport: Transport) -> Result<ConfigBuilder, String> {
    let account: Jid = "user01@example.org".parse().map_err(|_| "no JID")?;
    let builder = Config::builder(account).credentials(Credentials::certificate("user01", None));
    Ok(match transport {
        Transport::Tcp => builder.tcp("xmpp.example.org", 5223, TcpTls::Direct),
        Transport::WebSocket => builder.websocket("wss://example.org/xmpp-websocket"),
        Transport::Bosh => builder.bosh("https://example.org/http-bind"),
    })
}

fn say(client: &mut Client, input: Input<'_>) -> Result<(), String> {
    let handled = client.handle(Instant::from_millis(1_000), input);
    handled.map(|_| ()).map_err(|error| error.to_string())
}

/// Just enough of a server.
struct Server {
    transport: Transport,
    streams: usize,
    rid: u64,
}

impl Server {
    fn carry_out(&mut self, client: &mut Client, output: Output) -> Result<(), String> {
        if let Output::Connect { link, server_name, .. } = output {
            let mut info = LinkInfo::verified(server_name);
            info.subprotocol = (self.transport == Transport::WebSocket).then(|| "xmpp".to_string());
            say(client, Input::Connected { link, info })
        } else if let Output::Write { link, bytes } = output {
            let written = bytes.len() as u64;
            self.hear(client, link, &String::from_utf8_lossy(&bytes), written)
        } else if let Output::Frame { link, text } = output {
            self.hear(client, link, &text, text.len() as u64)
        } else if let Output::Post {
            link, request, body, ..
        } = output
        {
            self.post(client, link, request, &String::from_utf8_lossy(&body))
        } else if let Output::Event(Event::Offline { reason }) = output {
            Err(reason.to_string())
        } else {
            Ok(())
        }
    }

    fn hear(&mut self, client: &mut Client, link: LinkId, text: &str, bytes: u64) -> Result<(), String> {
        say(client, Input::Written { link, bytes })?;
        for answer in self.answers(text) {
            let bytes = answer.into_bytes().into();
            say(client, Input::Received { link, bytes })?;
        }
        Ok(())
    }

    /// What the server says to that, one element each.
    fn answers(&mut self, text: &str) -> Vec<String> {
        if text.contains("<stream:stream") || text.contains("<open") {
            let header = match self.transport {
                Transport::WebSocket => {
                    "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' from='example.org' id='s' version='1.0'/>"
                }
                Transport::Tcp | Transport::Bosh => {
                    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
                     from='example.org' id='s' version='1.0'>"
                }
            };
            let [before_login, after_login] = FEATURES;
            let features = if self.streams == 0 { before_login } else { after_login };
            self.streams += 1;
            return vec![header.to_string(), features.to_string()];
        }
        if text.contains("<auth") {
            return vec![SUCCESS.to_string()];
        }
        if text.contains("xmpp-bind") {
            return vec![bound(text)];
        }
        if text.contains("<enable") {
            return vec![ENABLED.to_string()];
        }
        Vec::new()
    }

    fn post(&mut self, client: &mut Client, link: LinkId, request: RequestId, body: &str) -> Result<(), String> {
        self.rid += 1;
        let payload = if body.contains(" wait=") {
            FEATURES[0].to_string()
        } else if body.contains("restart") {
            FEATURES[1].to_string()
        } else if body.contains("<auth") {
            SUCCESS.to_string()
        } else if body.contains("xmpp-bind") {
            bound(body)
        } else {
            // The empty request is held: the client is idle.
            return Ok(());
        };
        let granted = " sid='s1d' wait='60' requests='2' hold='1' inactivity='30' ver='1.6' from='example.org'";
        let granted = if self.rid == 1 { granted } else { "" };
        let answer = format!("<body xmlns='http://jabber.org/protocol/httpbind'{granted}>{payload}</body>");
        let body = answer.into_bytes().into();
        let answer = Input::Responded {
            link,
            request,
            status: 200,
            body,
            tls: None,
        };
        say(client, answer)
    }
}

fn bound(request: &str) -> String {
    let id = request.split(" id='").nth(1).and_then(|rest| rest.split('\'').next());
    format!(
        "<iq xmlns='jabber:client' type='result' id='{}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
         <jid>user01@example.org/balcony</jid></bind></iq>",
        id.unwrap_or_default()
    )
}

static LIVE: AtomicUsize = AtomicUsize::new(0);

/// Counts the bytes that are live.
struct Counting;

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
