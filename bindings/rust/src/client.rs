//! What an application holds: the client with its events, and handles for other tasks.

use std::collections::VecDeque;
use std::time::Duration;

use epode::error::{IqError, Misuse};
use epode::{
    BareJid, Config, Credentials, Element, Event, Input, Network, Offline, Refused, Secret, Slot, StanzaError, Token,
};
use tokio::sync::{mpsc, oneshot};

use crate::actor::Command;
use crate::builder::Builder;
use crate::error::{CallError, RequestError};

/// Bytes of events that [`Client::request`] sets aside while it waits (4 MiB, as the engine's own queue).
const SET_ASIDE: usize = 4 * 1024 * 1024;

/// A client: take its events with [`next`](Self::next), and give it stanzas.
///
/// One that is dropped says goodbye in the background. Events have to be taken: when some hundred stanzas of others wait
/// (or 256 KiB of them), the client stops reading from the server, and with it everything stands still but what was
/// already under way. The news of the application's own stanzas may pile up further: when some thousand wait,
/// [`send`](Self::send) refuses with [`Refused::Full`], until [`Event::Writable`].
#[derive(Debug)]
pub struct Client {
    handle: Handle,
    events: mpsc::Receiver<Event>,
    set_aside: VecDeque<Event>,
    set_aside_bytes: usize,
    /// Why the client is offline, once the application has been told.
    last: Option<Offline>,
    not_restored: Vec<(Slot, Refused)>,
}

impl Client {
    /// Says with what to connect.
    pub fn builder(config: Config) -> Builder {
        Builder::new(config)
    }

    /// The next event; `None` after [`Event::Offline`], until [`start`](Self::start). Cancel safe.
    ///
    /// [`Event::Interrupted`] is not the end: the client connects again by itself, and says [`Event::Online`] once more.
    pub async fn next(&mut self) -> Option<Event> {
        if self.last.is_some() {
            return None;
        }
        let event = match self.set_aside.pop_front() {
            Some(event) => {
                self.set_aside_bytes = self.set_aside_bytes.saturating_sub(weight(&event));
                event
            }
            None => self.events.recv().await?,
        };
        if let Event::Offline { reason } = &event {
            self.last = Some(reason.clone());
        }
        Some(event)
    }

    /// Goes online again, once [`next`](Self::next) gave [`Event::Offline`].
    ///
    /// # Errors
    /// The client is not offline, or its `Offline` was not taken yet.
    pub async fn start(&mut self) -> Result<(), CallError> {
        // The old `Offline`, still on its way, would be taken for the new session's.
        if self.last.is_none() {
            return Err(CallError::Refused(Refused::Misuse(Misuse::AlreadyStarted)));
        }
        self.start_engine().await
    }

    /// Around a task that was started and takes these commands.
    pub(crate) fn new(
        account: BareJid,
        commands: mpsc::Sender<Command>,
        events: mpsc::Receiver<Event>,
        not_restored: Vec<(Slot, Refused)>,
    ) -> Self {
        Self {
            handle: Handle { commands, account },
            events,
            set_aside: VecDeque::new(),
            set_aside_bytes: 0,
            last: None,
            not_restored,
        }
    }

    pub(crate) async fn start_engine(&mut self) -> Result<(), CallError> {
        let permit = self.handle.commands.reserve().await.map_err(|_| CallError::Gone)?;
        let (reply, receiver) = oneshot::channel();
        permit.send(Command::Start { reply });
        // Here, and not after the reply: whoever stops waiting for it has started the client all the same.
        self.last = None;
        Ok(receiver.await.map_err(|_| CallError::Gone)??)
    }

    /// Says goodbye, and waits until it is said: at most the time that the configuration gives to it. Returns why the
    /// client is offline. Events that were not taken are lost.
    pub async fn stop(&mut self) -> Offline {
        self.handle.stop().await;
        while self.next().await.is_some() {}
        self.last.clone().unwrap_or(Offline::Stopped)
    }

    /// Sends a message or a presence. Its token returns in [`Event::Delivery`].
    ///
    /// # Errors
    /// The stanza cannot be sent, the queue is full, or the client is offline.
    pub async fn send(&self, stanza: Element) -> Result<Token, CallError> {
        self.handle.send(stanza).await
    }

    /// Sends an `iq` and waits for its result. Other events that arrive meanwhile are kept for [`next`](Self::next), up to
    /// 4 MiB of them; after that the request is given up, for a client that takes no events cannot hear the answer.
    ///
    /// # Errors
    /// The `iq` cannot be sent, or there is no result. [`Refused::Full`] also when 4 MiB of events are kept already.
    pub async fn request(&mut self, iq: Element) -> Result<Element, RequestError> {
        self.request_within(iq, None).await
    }

    /// As [`request`](Self::request), with its own patience.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    pub async fn request_within(&mut self, iq: Element, timeout: Option<Duration>) -> Result<Element, RequestError> {
        self.ask(iq, timeout, None).await
    }

    /// With `password`: the account's, once there is a result.
    pub(crate) async fn ask(
        &mut self,
        iq: Element,
        timeout: Option<Duration>,
        password: Option<Secret>,
    ) -> Result<Element, RequestError> {
        // No event would be taken below, and without that the answer may never be read.
        if self.set_aside_bytes >= SET_ASIDE {
            return Err(CallError::Refused(Refused::Full).into());
        }
        let (token, mut answer) = self.handle.begin_request(iq, timeout, password).await?;
        loop {
            tokio::select! {
                answer = &mut answer => return answer.unwrap_or(Err(IqError::Disconnected)).map_err(RequestError::Iq),
                event = self.events.recv(), if self.set_aside_bytes < SET_ASIDE => match event {
                    Some(event) => {
                        self.set_aside_bytes = self.set_aside_bytes.saturating_add(weight(&event));
                        self.set_aside.push_back(event);
                        if self.set_aside_bytes >= SET_ASIDE {
                            self.handle.cancel(token).await;
                        }
                    }
                    None => return Err(RequestError::Iq(IqError::Disconnected)),
                },
            }
        }
    }

    /// After a request that had no answer: why the client is offline, if it is. The event is still the application's to take.
    pub(crate) async fn end_ahead(&mut self) -> Option<Offline> {
        let is_end = |event: &Event| matches!(event, Event::Offline { .. } | Event::Interrupted { .. });
        while self.set_aside_bytes < SET_ASIDE && !self.set_aside.iter().any(is_end) {
            let event = self.events.recv().await?;
            self.set_aside_bytes = self.set_aside_bytes.saturating_add(weight(&event));
            self.set_aside.push_back(event);
        }
        self.set_aside.iter().find_map(|event| {
            let Event::Offline { reason } = event else {
                return None;
            };
            Some(reason.clone())
        })
    }

    /// Answers an [`Event::Request`].
    ///
    /// # Errors
    /// It was answered already.
    pub async fn respond(&self, token: Token, result: Result<Option<Element>, StanzaError>) -> Result<(), CallError> {
        self.handle.respond(token, result).await
    }

    /// What the network of the device has become.
    ///
    /// # Errors
    /// The [`Client`] is gone.
    pub async fn network(&self, network: Network) -> Result<(), CallError> {
        self.handle.network(network).await
    }

    /// Whether somebody looks at the application (XEP-0352).
    ///
    /// # Errors
    /// The [`Client`] is gone.
    pub async fn foreground(&self, foreground: bool) -> Result<(), CallError> {
        self.handle.foreground(foreground).await
    }

    /// The device is about to sleep for at most so long. When this returns, the session is stored, if it is to be stored then,
    /// and what has to be said to the server is under way.
    ///
    /// # Errors
    /// The [`Client`] is gone, or what had to be stored could not be.
    pub async fn pause(&self, at_most: Duration) -> Result<(), CallError> {
        self.handle.pause(at_most).await
    }

    /// With [`Acknowledge::Manual`](epode::config::Acknowledge): the application has dealt with the stanza of that token.
    ///
    /// # Errors
    /// There is no such stanza.
    pub async fn handled(&self, token: Token) -> Result<(), CallError> {
        self.handle.handled(token).await
    }

    /// Gives new credentials of the same account: an access token that was renewed, a password that was changed. They count
    /// from the next login on, which a client that is offline makes when it is [started](Self::start) again.
    ///
    /// ```no_run
    /// # async fn renew() -> String { String::new() }
    /// # async fn run(mut client: epode_tokio::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use epode::error::LoginError;
    /// use epode::{Credentials, Event, Offline};
    ///
    /// while let Some(event) = client.next().await {
    ///     if let Event::Offline { reason: Offline::Login(LoginError::TokenRefused { .. }) } = event {
    ///         client.provide(Credentials::access_token(renew().await)).await?;
    ///         client.start().await?;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// They cannot log in to this account, or name a client certificate that the [`Builder`] was not given.
    pub async fn provide(&self, credentials: Credentials) -> Result<(), CallError> {
        self.handle.provide(credentials).await
    }

    /// Answers an [`Event::Task`]: the server wants something beside the credentials (XEP-0388 §2.6.3), which the configuration
    /// says the application can do. The first answer begins the task, each further one goes on with it; `payload` is the
    /// task's own element, where it has one.
    ///
    /// ```no_run
    /// # async fn ask(_: &str) -> epode::Element { epode::Element::builder("urn:example:otp", "code").text("123456").build().expect("XML") }
    /// # async fn run(mut client: epode_tokio::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// // The configuration says `.task("urn:example:one-time-code")`.
    /// while let Some(event) = client.next().await {
    ///     if let epode::Event::Task { payload, text, .. } = event {
    ///         let code = match payload {
    ///             None => None, // It is to begin.
    ///             Some(_) => Some(ask(text.as_deref().unwrap_or("The code?")).await),
    ///         };
    ///         client.answer_task(code).await?;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// No task waits for the application.
    pub async fn answer_task(&self, payload: Option<Element>) -> Result<(), CallError> {
        self.handle.answer_task(payload).await
    }

    /// What was kept in the store and could not be restored, slot by slot: the client started without it.
    pub fn not_restored(&self) -> &[(Slot, Refused)] {
        &self.not_restored
    }

    /// A handle for other tasks.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

/// Memory of what an event carries, roughly.
pub(crate) fn weight(event: &Event) -> usize {
    let payload = if let Event::Stanza { stanza: element, .. }
    | Event::Request { iq: element, .. }
    | Event::IqDone {
        result: Ok(element), ..
    } = event
    {
        element.memory_size()
    } else {
        0
    };
    payload.saturating_add(size_of::<Event>())
}

/// Sends for a client from another task. It keeps working until the [`Client`] is dropped.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    pub(crate) account: BareJid,
}

impl Handle {
    /// As [`Client::send`].
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn send(&self, stanza: Element) -> Result<Token, CallError> {
        let stanza = Box::new(stanza);
        Ok(self.call(|reply| Command::Send { stanza, reply }).await??)
    }

    /// As [`Client::request`]; the events meanwhile are the owner's to take.
    ///
    /// The owner's own loop around [`Client::next`] must not wait for it: once too many stanzas wait, nothing is read until
    /// that loop goes on, the answer included. Wait in another task, or use [`Client::request`] there.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn request(&self, iq: Element, timeout: Option<Duration>) -> Result<Element, RequestError> {
        self.ask(iq, timeout, None).await
    }

    /// With `password`: the account's, once there is a result.
    pub(crate) async fn ask(
        &self,
        iq: Element,
        timeout: Option<Duration>,
        password: Option<Secret>,
    ) -> Result<Element, RequestError> {
        let (_, answer) = self.begin_request(iq, timeout, password).await?;
        answer
            .await
            .unwrap_or(Err(IqError::Disconnected))
            .map_err(RequestError::Iq)
    }

    /// As [`Client::respond`].
    ///
    /// # Errors
    /// As [`Client::respond`].
    pub async fn respond(&self, token: Token, result: Result<Option<Element>, StanzaError>) -> Result<(), CallError> {
        let result = Box::new(result);
        Ok(self.call(|reply| Command::Respond { token, result, reply }).await??)
    }

    /// Gives up on a request, or on a stanza that was not written yet.
    pub async fn cancel(&self, token: Token) {
        // Without a task there is nothing left to cancel.
        let _ = self.commands.send(Command::Cancel { token }).await;
    }

    /// As [`Client::network`].
    ///
    /// # Errors
    /// As [`Client::network`].
    pub async fn network(&self, network: Network) -> Result<(), CallError> {
        self.tell(Input::Network(network)).await
    }

    /// As [`Client::foreground`].
    ///
    /// # Errors
    /// As [`Client::foreground`].
    pub async fn foreground(&self, foreground: bool) -> Result<(), CallError> {
        self.tell(Input::Foreground(foreground)).await
    }

    /// As [`Client::pause`].
    ///
    /// # Errors
    /// As [`Client::pause`].
    pub async fn pause(&self, at_most: Duration) -> Result<(), CallError> {
        // A part of a second counts as a whole one: the server has to wait for all of it.
        let seconds = at_most.as_millis().div_ceil(1_000);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        self.tell(Input::Pause { seconds }).await
    }

    /// As [`Client::handled`].
    ///
    /// # Errors
    /// As [`Client::handled`].
    pub async fn handled(&self, token: Token) -> Result<(), CallError> {
        self.tell(Input::Handled { token }).await
    }

    /// As [`Client::provide`].
    ///
    /// # Errors
    /// As [`Client::provide`].
    pub async fn provide(&self, credentials: Credentials) -> Result<(), CallError> {
        let credentials = Box::new(credentials);
        self.call(|reply| Command::Provide { credentials, reply }).await?
    }

    /// As [`Client::answer_task`].
    ///
    /// # Errors
    /// As [`Client::answer_task`].
    pub async fn answer_task(&self, payload: Option<Element>) -> Result<(), CallError> {
        self.tell(Input::Task { payload }).await
    }

    async fn tell(&self, input: Input<'static>) -> Result<(), CallError> {
        let input = Box::new(input);
        Ok(self.call(|reply| Command::Tell { input, reply }).await??)
    }

    /// Says goodbye; [`Event::Offline`] is the end.
    pub async fn stop(&self) {
        // Without a task the client is offline already.
        let _ = self.commands.send(Command::Stop).await;
    }

    async fn begin_request(
        &self,
        iq: Element,
        timeout: Option<Duration>,
        password: Option<Secret>,
    ) -> Result<(Token, oneshot::Receiver<Result<Element, IqError>>), CallError> {
        let (answer, receiver) = oneshot::channel();
        let iq = Box::new(iq);
        let token = self
            .call(|reply| Command::Request {
                iq,
                timeout,
                password,
                answer,
                reply,
            })
            .await??;
        Ok((token, receiver))
    }

    async fn call<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, CallError> {
        let (reply, receiver) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| CallError::Gone)?;
        receiver.await.map_err(|_| CallError::Gone)
    }
}
