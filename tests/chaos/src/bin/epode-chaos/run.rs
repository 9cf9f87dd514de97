//! One run on one transport: two clients, a proxy before each, and the account of every message.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use epode::config::{Bosh, Liveness, MechanismPolicy, Persist, Reconnect, Timeouts};
use epode::{Config, Credentials, Element, Event, Jid, Refused, Stage, TcpTls, Token, Warning};
use epode_chaos::{Faults, HttpProfile, HttpTarget, Profile, Proxy, client_tls_from_pem, server_tls_from_pem};
use epode_tokio::rustls::pki_types::pem::PemObject;
use epode_tokio::rustls::pki_types::{CertificateDer, ServerName};
use epode_tokio::{Builder, CallError, Client};
use serde::Serialize;

use crate::servers::Server;
use crate::{Kind, Receiver, Transport};

pub(crate) type Broken = Box<dyn Error>;

/// Messages that may wait for their acknowledgement. As XML they are less than a server reads at once (4 KiB): a connection that ends
/// in the middle of a WebSocket frame makes Prosody 13 end the session that is resumed next as `not-well-formed`, for it puts the new
/// connection's bytes behind the old one's.
const WINDOW: usize = 20;
/// How far the sender may be ahead of the receiver: Prosody keeps no more than 500 stanzas for a client that is away, and refuses to
/// resume it (`resource-constraint`) when there were more.
const AHEAD: usize = 250;
/// On BOSH there is no such thing, and a round trip takes longer.
const BOSH_WINDOW: usize = 100;
/// Without a word from either client for so long, the run is stuck.
pub(crate) const STUCK: Duration = Duration::from_secs(120);
/// Lines of the proxy's log that a failure shows.
const TAIL: usize = 40;

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) transport: Transport,
    pub(crate) messages: usize,
    pub(crate) cuts: u64,
    pub(crate) profile: Kind,
    pub(crate) receiver: Receiver,
    pub(crate) crashes: usize,
    pub(crate) kills: usize,
    pub(crate) allow_untold: bool,
}

/// What became of it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Outcome {
    transport: &'static str,
    messages: usize,
    acked: usize,
    failed: usize,
    /// Of those: written on three links that each died before the server had acknowledged it, so not sent a fourth time.
    given_up: usize,
    received: usize,
    /// Acknowledged, and not received.
    lost: usize,
    doubled: usize,
    out_of_order: usize,
    cuts: u64,
    resumed: usize,
    not_resumed: usize,
    /// Why links and sessions ended, and how often.
    reasons: BTreeMap<String, usize>,
    seconds: u64,
    /// What must not be.
    pub(crate) wrong: Vec<String>,
    #[serde(skip)]
    pub(crate) tail: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} messages over {} cuts in {} s: {} acked, {} failed ({} after three links), {} received, {} lost, {} doubled, {} out of order; \
             sessions: {} resumed, {} not",
            self.transport,
            self.messages,
            self.cuts,
            self.seconds,
            self.acked,
            self.failed,
            self.given_up,
            self.received,
            self.lost,
            self.doubled,
            self.out_of_order,
            self.resumed,
            self.not_resumed,
        )?;
        for (reason, times) in &self.reasons {
            write!(f, "\n  {times:>5} x {reason}")?;
        }
        Ok(())
    }
}

/// A message that the server delivers and does not keep (XEP-0334): an archive of tens of thousands would be what is measured.
fn numbered(to: &Jid, number: usize) -> Result<Element, epode::xml::InvalidXml> {
    Element::builder("jabber:client", "message")
        .attr("type", "chat")
        .attr("to", &to.to_string())
        .child(Element::builder("jabber:client", "body").text(&number.to_string()))
        .child(Element::builder("urn:xmpp:hints", "no-permanent-store"))
        .build()
}

/// As `--transport` has it.
pub(crate) fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::StartTls => "starttls",
        Transport::DirectTls => "direct-tls",
        Transport::WebSocket => "websocket",
        Transport::Bosh => "bosh",
    }
}

pub(crate) struct End {
    pub(crate) client: Client,
    pub(crate) proxy: Proxy,
    pub(crate) onlines: usize,
    pub(crate) resumed: usize,
    reasons: BTreeMap<String, usize>,
}

impl End {
    pub(crate) async fn connect(
        server: &Server,
        plan: &Plan,
        user: &str,
        calm: bool,
        salt: u64,
    ) -> Result<Self, Broken> {
        let seed = plan.seed ^ salt;
        let proxy = proxy(server, plan, calm, seed).await?;
        // No fault before the first login: it is the application's to repeat.
        proxy.pause_faults();
        let mut bytes = [0; 32];
        fastrand::Rng::with_seed(seed).fill(&mut bytes);
        let client = builder(server, plan.transport, user, Persist::Off, proxy.address())?
            .seed(bytes)
            .connect()
            .await?;
        let mut end = Self {
            client,
            proxy,
            onlines: 0,
            resumed: 0,
            reasons: BTreeMap::new(),
        };
        while end.onlines == 0 {
            let event = tokio::time::timeout(STUCK, end.client.next()).await?;
            end.note(&event.ok_or("the client ended before its first login")?)?;
        }
        // Its answer follows `<enabled/>`: from here on the session can be resumed.
        let ping = Element::builder("jabber:client", "iq")
            .attr("type", "get")
            .attr("to", "localhost")
            .child(Element::builder("urn:xmpp:ping", "ping"));
        end.client.request(ping.build()?).await?;
        Ok(end)
    }

    /// Counts sessions, and why they ended; an error where there is no way on.
    pub(crate) fn note(&mut self, event: &Event) -> Result<(), Broken> {
        if let Event::Online { resumed, .. } = event {
            self.onlines += 1;
            self.resumed += usize::from(*resumed);
        } else if let Event::Interrupted { reason, resumable, .. } = event {
            let lost = if *resumable { "" } else { " (cannot be resumed)" };
            *self.reasons.entry(format!("{reason}{lost}")).or_default() += 1;
        } else if let Event::Warning(Warning::NotResumed { condition }) = event {
            let condition = condition.as_deref().unwrap_or("no condition");
            *self.reasons.entry(format!("NOT RESUMED: {condition}")).or_default() += 1;
        } else if let Event::Offline { reason } = event {
            return Err(format!("a client gave up: {reason} ({reason:?})").into());
        }
        Ok(())
    }
}

/// A client of that user, through the proxy at `address`.
pub(crate) fn builder(
    server: &Server,
    transport: Transport,
    user: &str,
    persist: Persist,
    address: SocketAddr,
) -> Result<Builder, Broken> {
    let jid: Jid = format!("{user}@localhost/chaos-{}", name(transport)).parse()?;
    let config = Config::builder(jid)
        .persist(persist)
        .credentials(Credentials::password("pw"))
        .mechanisms(MechanismPolicy::default())
        .reconnect(Reconnect {
            first: Duration::from_millis(50),
            second: Duration::from_millis(100),
            longest: Duration::from_secs(1),
            ..Reconnect::default()
        })
        .liveness(Liveness {
            ask_after: Some(Duration::from_secs(5)),
            answer_within: Duration::from_secs(5),
            keep_alive_after: None,
        })
        .timeouts(Timeouts {
            connect: Duration::from_secs(10),
            negotiation: Duration::from_secs(10),
            ..Timeouts::default()
        });
    let config = match transport {
        Transport::StartTls => config.tcp("localhost", server.address("starttls")?.port(), TcpTls::StartTls),
        Transport::DirectTls => config.tcp("localhost", server.address("direct_tls")?.port(), TcpTls::Direct),
        Transport::WebSocket => config.websocket(server.text("websocket")?),
        // The last request is acknowledged with the answer to the next.
        Transport::Bosh => config.transport(epode::config::Transport::Bosh(Bosh {
            wait: 2,
            ..Bosh::new(server.text("bosh")?)
        })),
    };
    let authority = CertificateDer::from_pem_file(server.pki.join("server-ca.crt"))?;
    Ok(Client::builder(config.build()?)
        .add_root(authority)?
        .resolve("localhost", address))
}

/// How many messages may wait for their acknowledgement.
pub(crate) fn window(transport: Transport) -> usize {
    if transport == Transport::Bosh {
        BOSH_WINDOW
    } else {
        WINDOW
    }
}

pub(crate) async fn proxy(server: &Server, plan: &Plan, calm: bool, seed: u64) -> Result<Proxy, Broken> {
    let target = server.address(match plan.transport {
        Transport::StartTls => "starttls",
        Transport::DirectTls => "direct_tls",
        Transport::WebSocket | Transport::Bosh => "https",
    })?;
    if plan.transport != Transport::Bosh {
        let profile = match plan.profile {
            _ if calm => Profile::calm(),
            Kind::Calm => Profile::calm(),
            Kind::Rough => Profile::rough(),
            Kind::Cuts => Profile::both(Faults {
                cut_after: 0.5,
                cut_after_bytes: 6_000..=40_000,
                ..Faults::none()
            }),
        };
        return Ok(Proxy::tcp(seed, profile, target).await?);
    }
    let profile = match plan.profile {
        _ if calm => HttpProfile::calm(),
        Kind::Calm => HttpProfile::calm(),
        Kind::Rough => HttpProfile::rough(),
        Kind::Cuts => HttpProfile {
            reset: 0.05,
            lose_answer: 0.05,
            ..HttpProfile::calm()
        },
    };
    let tls = server_tls_from_pem(&server.pki.join("server.crt"), &server.pki.join("server.key"))?;
    let target = HttpTarget {
        address: target,
        name: ServerName::try_from("localhost")?,
        tls: client_tls_from_pem(&server.pki.join("server-ca.crt"))?,
    };
    Ok(Proxy::http(seed, profile, tls, target).await?)
}

/// Every message, from the call to its end.
#[derive(Default)]
struct Account {
    numbers: HashMap<Token, usize>,
    /// The sender's session, or its resumption, in which a message was given to it: counted from 1.
    given_in: HashMap<usize, usize>,
    given_up: usize,
    ends: BTreeMap<usize, Stage>,
    received: Vec<usize>,
    wrong: Vec<String>,
}

impl Account {
    fn delivery(&mut self, token: Token, stage: Stage, onlines: usize) {
        match stage {
            Stage::Queued | Stage::Sent => return,
            Stage::Acked | Stage::Failed => {}
        }
        match self.numbers.get(&token) {
            Some(number) => {
                // It is told before the third resumption is.
                let links = onlines + 1 - self.given_in.get(number).copied().unwrap_or(onlines);
                self.given_up += usize::from(stage == Stage::Failed && links >= 3);
                if self.ends.insert(*number, stage).is_some() {
                    self.wrong.push(format!("message {number} ended twice"));
                }
            }
            None => self.wrong.push(format!("a token that was never given: {token:?}")),
        }
    }

    fn arrival(&mut self, event: &Event, from: &str) {
        if let Event::Stanza { stanza, .. } = event
            && stanza.attribute("from") == Some(from)
            && stanza.attribute("type") != Some("error")
            && let Some(body) = stanza.child("jabber:client", "body")
            && let Ok(number) = body.text().parse()
        {
            self.received.push(number);
        }
    }

    fn open(&self) -> usize {
        self.numbers.len().saturating_sub(self.ends.len())
    }
}

pub(crate) async fn run(plan: &Plan) -> Result<Outcome, Broken> {
    let began = Instant::now();
    let server = Server::find()?;
    let mut receiver = End::connect(&server, plan, "user02", plan.receiver == Receiver::Calm, 0x5bd1).await?;
    let mut sender = End::connect(&server, plan, "user01", false, 0).await?;
    let (from, to): (String, Jid) = (
        format!("user01@localhost/chaos-{}", name(plan.transport)),
        format!("user02@localhost/chaos-{}", name(plan.transport)).parse()?,
    );
    sender.proxy.resume_faults();
    receiver.proxy.resume_faults();
    let mut account = Account::default();
    let mut crashes = 0;
    let mut full = false;
    // One more than asked for, once the network is calm: when it is here, what came before it is here or lost.
    let last = plan.messages;
    let window = window(plan.transport);
    loop {
        let next = account.numbers.len();
        let calm = next >= plan.messages && account.open() == 0;
        if calm {
            sender.proxy.pause_faults();
            receiver.proxy.pause_faults();
        }
        if account.received.last() == Some(&last) && account.open() == 0 {
            break;
        }
        let may = if next < plan.messages {
            let ahead = next.saturating_sub(account.received.last().map_or(0, |number| number + 1));
            account.open() < window && (plan.crashes > 0 || ahead < AHEAD)
        } else {
            calm && next <= last
        };
        if may && !full {
            match sender.client.send(numbered(&to, next)?).await {
                Ok(token) => {
                    account.numbers.insert(token, next);
                    account.given_in.insert(next, sender.onlines);
                    behind_schedule(plan, next, &sender.proxy, &receiver.proxy);
                    if plan.crashes > crashes && next >= (crashes + 1) * plan.messages / (plan.crashes + 1) {
                        crashes += 1;
                        server.crash().await?;
                    }
                    continue;
                }
                Err(CallError::Refused(Refused::Full)) => full = true,
                Err(error) => return Err(error.into()),
            }
        }
        let event = tokio::time::timeout(STUCK, async {
            tokio::select! {
                event = sender.client.next() => (true, event),
                event = receiver.client.next() => (false, event),
            }
        });
        let Ok((of_sender, event)) = event.await else {
            account.wrong.push(format!("stuck: nothing happened for {STUCK:?}"));
            break;
        };
        let event = event.ok_or("the events ended")?;
        let noted = if of_sender {
            sender.note(&event)
        } else {
            receiver.note(&event)
        };
        if let Err(error) = noted {
            let who = if of_sender { "sender" } else { "receiver" };
            account.wrong.push(format!("{who}: {error}"));
            break;
        }
        if !of_sender {
            account.arrival(&event, &from);
        } else if let Event::Delivery { token, stage } = event {
            account.delivery(token, stage, sender.onlines);
        } else if let Event::Writable = event {
            full = false;
        }
    }
    let outcome = judge(plan, account, &sender, &receiver, began);
    sender.client.stop().await;
    receiver.client.stop().await;
    Ok(outcome)
}

/// Cuts what the profile has left alone, so that the cuts keep pace with the messages.
fn behind_schedule(plan: &Plan, number: usize, sender: &Proxy, receiver: &Proxy) {
    let cuts = sender.statistics().cuts + receiver.statistics().cuts;
    let due = plan.cuts.saturating_mul(number as u64) / (plan.messages.max(1) as u64);
    if cuts < due {
        sender.cut_all();
    }
}

fn judge(plan: &Plan, account: Account, sender: &End, receiver: &End, began: Instant) -> Outcome {
    let of = |stage| account.ends.values().filter(|end| **end == stage).count();
    let mut seen = std::collections::HashSet::new();
    let doubled = account.received.iter().filter(|number| !seen.insert(**number)).count();
    let pairs = account.received.iter().zip(account.received.iter().skip(1));
    let out_of_order = pairs.filter(|(earlier, later)| later < earlier).count();
    let is_lost = |(number, end): &(&usize, &Stage)| **end == Stage::Acked && !seen.contains(*number);
    let lost: Vec<usize> = account.ends.iter().filter(is_lost).map(|(number, _)| *number).collect();
    let mut reasons = sender.reasons.clone();
    for (reason, times) in &receiver.reasons {
        *reasons.entry(reason.clone()).or_default() += times;
    }
    let mut outcome = Outcome {
        transport: name(plan.transport),
        messages: account.numbers.len(),
        acked: of(Stage::Acked),
        failed: of(Stage::Failed),
        given_up: account.given_up,
        received: account.received.len(),
        lost: lost.len(),
        doubled,
        out_of_order,
        cuts: sender.proxy.statistics().cuts + receiver.proxy.statistics().cuts,
        resumed: sender.resumed + receiver.resumed,
        not_resumed: (sender.onlines - 1 - sender.resumed) + (receiver.onlines - 1 - receiver.resumed),
        reasons,
        seconds: began.elapsed().as_secs(),
        wrong: account.wrong,
        tail: Vec::new(),
    };
    let mut demand = |holds: bool, what: String| {
        if !holds {
            outcome.wrong.push(what);
        }
    };
    let settled = outcome.acked + outcome.failed;
    demand(
        settled == outcome.messages,
        format!("{} messages have no end", outcome.messages - settled),
    );
    demand(doubled == 0, format!("{doubled} arrived twice"));
    demand(out_of_order == 0, format!("{out_of_order} arrived out of order"));
    demand(outcome.cuts >= plan.cuts, format!("only {} cuts", outcome.cuts));
    let receiver_kept = receiver.onlines == 1 + receiver.resumed;
    // A server that is killed, or that ends the receiver's session, takes with it what it had for the receiver.
    if plan.crashes == 0 && receiver_kept {
        demand(lost.is_empty(), format!("acknowledged and lost: {lost:?}"));
    }
    if plan.crashes == 0 && plan.transport != Transport::Bosh {
        demand(
            outcome.not_resumed == 0,
            format!("{} sessions were not resumed", outcome.not_resumed),
        );
        let unexplained = outcome.failed - outcome.given_up;
        demand(
            unexplained == 0,
            format!("{unexplained} messages failed before their third link died"),
        );
    }
    // Without an end of the sender's session every message is acknowledged.
    if plan.crashes == 0 && sender.onlines == 1 + sender.resumed {
        let unexplained = outcome.failed - outcome.given_up;
        demand(unexplained == 0, format!("{unexplained} failed, and no session ended"));
    }
    let events = sender.proxy.events();
    let skip = events.len().saturating_sub(TAIL);
    outcome.tail = events.iter().skip(skip).map(ToString::to_string).collect();
    outcome.wrong.dedup();
    outcome
}
