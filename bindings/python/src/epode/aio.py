"""The asyncio driver: it owns the connections and the clock, feeds the engine, and carries out what it asks for.

It carries BOSH. Of the engine's other transports it says that it has none, and it asks nothing of DNS.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias

from epode import _convert, _login, _native
from epode._http import Answer as HttpAnswer
from epode._http import Link
from epode._state import SLOTS, State
from epode.errors import ConfigurationError, EpodeError, NotOnline, RequestFailed, RequestTimedOut, went_offline
from epode.events import Answer, Delivery, Event, Interrupted, Message, Offline, Online, Presence, Request, Task
from epode.policy import Policy, UserAgent

#: Does a task that the server asks for after the credentials, a second factor for example: gives the task's own element, or nothing.
TaskHandler: TypeAlias = Callable[[Task], Awaitable[str | bytes | None]]

#: Stanzas that may wait for the application before the driver stops reading from the server; it goes on at half of it.
_BACKLOG: Final = 1_000

#: Longer than the engine waits for the goodbye, which is the real limit (5 s).
_GOODBYE: Final = 10.0

#: The event loop's clock stands still while a device sleeps; the engine's does not. An early Tick is harmless.
_LONGEST_SLEEP: Final = 30.0


def connect(
    jid: str,
    *,
    bosh: str,
    certificate: str | os.PathLike[str] | None = None,
    key: str | os.PathLike[str] | None = None,
    key_password: str | bytes | None = None,
    password: str | bytes | None = None,
    access_token: str | bytes | None = None,
    scram_key: bytes | None = None,
    anonymous: bool = False,
    new_account: bool = False,
    ca: str | os.PathLike[str] | None = None,
    allow_plain: bool = False,
    policy: Policy | None = None,
    state: str | os.PathLike[str] | None = None,
    fast: Literal["use", "off", "invalidate"] = "use",
    user_agent: UserAgent | None = None,
    tag: str = "epode",
    carbons: bool = False,
    tasks: Mapping[str, TaskHandler] | None = None,
    answers: Iterable[str] = (),
    available: bool = True,
    reconnect: bool = True,
) -> Client:
    """A client for the account ``jid``, to be used with ``async with``, which logs in and at the end says goodbye.

    ``bosh`` is the URL of the server's BOSH service (https). ``certificate`` and ``key`` are PEM files (the key may be in the first),
    ``password`` is the account's: a certificate alone logs in by SASL EXTERNAL, a password alone by SCRAM, both by SCRAM on a connection
    that presents the certificate. ``ca`` is a PEM file of the authorities that may vouch for the server; without it, the system's.

    Instead of these: ``access_token`` is an OAuth 2.0 token (OAUTHBEARER); ``scram_key`` what :attr:`Client.scram_key` gave after an earlier
    login with the password; ``anonymous`` logs in to no account, and ``jid`` is the server's domain; ``new_account`` registers the account
    with ``password`` before it logs in (XEP-0077).

    ``state`` is a folder that keeps what the next process may use: the server's login token (XEP-0484), which with no other credentials is
    what logs in, and what is known of the server. Nobody else may read it. ``fast="off"`` neither asks for a token nor uses it, ``"invalidate"``
    uses it a last time. ``policy`` says which mechanisms may be used; ``allow_plain`` also allows SASL PLAIN, which shows the server the
    password. ``user_agent``, ``tag`` and ``carbons`` go to servers with SASL2 and Bind 2 (XEP-0388, XEP-0386): what the client is called, a part of
    the resource's name, and whether messages of the account's other devices are copied here. ``tasks`` does what the server wants besides
    the credentials, by the name of the task; what it raises ends the login.

    ``answers`` are the namespaces of requests that the
    application answers. ``available`` sends initial presence, without which servers route no messages to the account.
    ``reconnect`` connects again when the link is gone after a login (:class:`Interrupted`), unless trying again cannot help; without it, that
    is the end.

    Raises :class:`ConfigurationError` for what cannot work. Nothing is sent yet.
    """
    context = _login.tls_context(ca)
    der = None
    if certificate is not None:
        der = _login.load_identity(context, Path(certificate), key, key_password)
    elif key is not None:
        raise ConfigurationError("a key was given without a certificate")
    credentials = _login.credentials(
        der=der,
        password=password,
        access_token=access_token,
        scram_key=scram_key,
        new_account=new_account,
        anonymous=anonymous,
        kept_token=state is not None,
    )
    if fast not in ("use", "off", "invalidate"):
        raise ConfigurationError(f"fast={fast!r} is not one of use, off, invalidate")
    agent = user_agent or UserAgent()
    kept = None if state is None else State(state)
    config = _native.Config(
        jid=jid,
        credentials=credentials,
        transports=[_native.Transport.BOSH(_native.Bosh(url=bosh))],
        mechanisms=(policy or Policy())._native(allow_plain=allow_plain),
        reconnect=_native.Reconnect(
            when=_native.ReconnectWhen.AFTER_ONLINE if reconnect else _native.ReconnectWhen.NEVER
        ),
        persist=None if kept is None else _native.Persist.ON_SUSPEND,
        user_agent=_native.UserAgent(id=agent.id, software=agent.software, device=agent.device),
        fast=_native.Fast[fast.upper()],
        bind=_native.Bind(tag=tag, carbons=carbons),
        # The loop goes on meanwhile.
        key_derivation=_native.KeyDerivation.HOST,
        tasks=list(tasks or ()),
        answers=list(answers),
    )
    # With these nothing is bound to the connection, whose certificate need not be looked at before.
    binds = not (anonymous or access_token is not None or (der is not None and password is None))
    try:
        engine = _native.Client(config, os.urandom(32))
        client = Client(engine, context, available=available, binds=binds, state=kept, tasks=tasks)
        client._restore()
    except _native.Refused as error:
        raise _convert.refused(error) from None
    return client


class Client:
    """One account, online until the application leaves. Made by :func:`connect`; it belongs to the event loop that enters it.

    Iterate over it for events: :class:`Online` is the first, :class:`Offline` the last. After each :class:`Interrupted` there is another
    :class:`Online`, or the end.
    """

    def __init__(
        self,
        engine: _native.Client,
        context: ssl.SSLContext,
        *,
        available: bool,
        binds: bool = False,
        state: State | None = None,
        tasks: Mapping[str, TaskHandler] | None = None,
    ) -> None:
        self._engine = engine
        self._context = context
        self._available = available
        self._binds = binds
        self._state = state
        self._tasks = dict(tasks or {})
        self._failed: BaseException | None = None
        self._derived: bytes | None = None
        self._scram_key: bytes | None = None
        # What goes on beside the loop: a link that is being opened, a task of the application's.
        self._busy: set[asyncio.Task[None]] = set()
        self._outputs: deque[_native.Output] = deque()
        self._working = False
        self._links: dict[int, Link] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._events: deque[Event] = deque()
        self._stanzas_waiting = 0
        self._news = asyncio.Event()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._writable = asyncio.Event()
        self._own: set[int] = set()
        self._answers: dict[int, asyncio.Future[_native.IqResult]] = {}
        self._started = False
        self._jid: str | None = None
        self._was_online = False
        self._unannounced = False
        self._offline: Offline | None = None
        self._changed = asyncio.Event()

    # ---- life

    async def __aenter__(self) -> Self:
        """Logs in. Raises a :class:`WentOffline` that says who is to blame."""
        if self._started:
            raise EpodeError("a client is used once: make a new one with connect()")
        self._started = True
        try:
            self._feed(_native.Input.START())
            while not self._was_online and self._offline is None:
                await self._wait(self._changed)
        except BaseException:
            # Cancelled in the middle of a login: the server may hold half a session.
            await self.close()
            raise
        if self._offline is not None:
            await self.close()
            if self._failed is not None:
                failed, self._failed = self._failed, None
                raise failed
            raise went_offline(self._offline)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Says goodbye and closes the connections; events that were not read yet can still be. Doing it twice is harmless."""
        self._may_read.set()
        try:
            if self._started and self._offline is None:
                self._feed(_native.Input.STOP())
                try:
                    async with asyncio.timeout(_GOODBYE):
                        while self._offline is None:
                            await self._wait(self._changed)
                except TimeoutError:
                    pass
            if self._closing:
                await asyncio.wait(list(self._closing))
        finally:
            self._end(Offline("stopped", "stopped", "offline, as asked"))
            for task in [*self._closing, *self._busy]:
                task.cancel()
            links = list(self._links.values())
            self._links.clear()
            closing = (link.close(0) for link in links)
            await asyncio.gather(*closing, *self._closing, *self._busy, return_exceptions=True)

    @property
    def jid(self) -> str | None:
        """The full JID, while online: after an interruption it may be another one."""
        return self._jid

    @property
    def scram_key(self) -> bytes | None:
        """What the password became for this server, once it has logged in by SCRAM: for ``connect(scram_key=...)``, and as secret as that."""
        return self._scram_key

    @property
    def offline(self) -> Offline | None:
        """Why the session is over, once it is."""
        return self._offline

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self._offline is not None:
                if self._failed is not None:
                    failed, self._failed = self._failed, None
                    raise failed
                raise StopAsyncIteration
            await self._wait(self._news)
        event = self._events.popleft()
        if isinstance(event, Message | Presence | Request):
            self._stanzas_waiting -= 1
            self._judge_reading()
        return event

    # ---- what an application asks for

    async def send_message(self, to: str, text: str) -> int:
        """Sends a chat message. The token names it in :class:`Delivery` events. Waits while the outbound queue is full."""
        try:
            xml = _native.chat(to, text)
        except _native.Refused as error:
            raise _convert.refused(error) from None
        return await self.send(xml)

    async def send(self, xml: str | bytes) -> int:
        """Sends a ``<message/>`` or ``<presence/>``; one without a namespace is in ``jabber:client``. As :meth:`send_message`."""
        return await self._when_room(_native.Input.SEND(_bytes(xml)))

    async def request(self, xml: str | bytes, *, timeout: float | None = None) -> Answer:
        """Sends an ``<iq/>`` of type ``get`` or ``set`` and waits for its answer, by default for 60 seconds.

        Its ``id`` is replaced by one that nobody can guess. Raises :class:`RequestFailed` for an error of the entity's,
        :class:`RequestTimedOut`, or :class:`NotOnline` where the session ended first: whether the request was handled is not known then.
        """
        timeout_ms = None if timeout is None else max(0, int(timeout * 1000))
        answer = asyncio.get_running_loop().create_future()
        token = await self._when_room(_native.Input.REQUEST(_bytes(xml), timeout_ms), answer)
        try:
            result: _native.IqResult = await answer
        except asyncio.CancelledError:
            if self._offline is None:
                self._feed(_native.Input.CANCEL(token))
            raise
        finally:
            self._answers.pop(token, None)
        if isinstance(result, _native.IqResult.ANSWER):
            return _convert.answer(result.iq)
        if isinstance(result, _native.IqResult.ERROR):
            error = result.error
            raise RequestFailed(error.condition, _convert.ERROR_TYPE_NAMES[error.kind], error.text)
        if isinstance(result, _native.IqResult.TIMEOUT):
            raise RequestTimedOut("the request was not answered in time")
        raise NotOnline("the session ended before the answer came: whether the request was handled is not known")

    def respond(self, request: Request, payload: str | bytes | None = None) -> None:
        """Answers a request with a ``result``, and the payload if there is one."""
        self._reply(request, _native.Reply.RESULT(None if payload is None else _bytes(payload)))

    def refuse(
        self, request: Request, condition: str = "service-unavailable", *, type: str = "cancel", text: str | None = None
    ) -> None:
        """Answers a request with an error (RFC 6120 §8.3.3)."""
        kind = _convert.ERROR_TYPES.get(type)
        if kind is None:
            raise InvalidStanzaType(type)
        self._reply(request, _native.Reply.ERROR(_native.StanzaError(kind=kind, condition=condition, text=text)))

    def provide(self, *, password: str | bytes | None = None, access_token: str | bytes | None = None) -> None:
        """From the next login on this is the credential: after an interruption for example. It must be for the same account."""
        if password is None and access_token is None:
            raise ConfigurationError("neither a password nor an access token was given")
        credentials = _login.credentials(
            der=None,
            password=password,
            access_token=access_token,
            scram_key=None,
            new_account=False,
            anonymous=False,
            kept_token=False,
        )
        self._feed(_native.Input.PROVIDE(credentials))

    # ---- the loop

    def _restore(self) -> None:
        if self._state is None:
            return
        for slot in SLOTS:
            if content := self._state.load(slot):
                try:
                    self._engine.handle(_now(), _native.Input.RESTORE(_native.Slot[slot.upper()], content))
                except _native.Refused.Snapshot:
                    # Damaged, or of another account: the engine starts afresh, and what it stores next takes its place.
                    continue

    def _reply(self, request: Request, reply: _native.Reply) -> None:
        self._feed(_native.Input.RESPOND(request.token, reply))

    async def _when_room(
        self, input: _native.Input, answer: asyncio.Future[_native.IqResult] | None = None
    ) -> int:
        while True:
            self._writable.clear()
            try:
                token = self._feed(input, answer)
            except _Full:
                await self._wait(self._writable)
                continue
            if token is None:
                raise NotOnline("not online: the session has not begun, or is over")
            return token

    def _feed(self, input: _native.Input, answer: asyncio.Future[_native.IqResult] | None = None) -> int | None:
        """One turn: the input goes in, and all that comes out is carried out."""
        if not self._started or self._offline is not None:
            raise NotOnline("not online: the session has not begun, or is over")
        try:
            step = self._engine.handle(_now(), input)
        except _native.Refused.Full:
            raise _Full from None
        except _native.Refused as error:
            raise _convert.refused(error) from None
        except _native.InternalError as error:
            self._die(error)
            raise
        if answer is not None and step.token is not None:
            self._answers[step.token] = answer
        token: int | None = step.token
        self._carry_out(step)
        return token

    def _answered(self, link: int, request: int, outcome: HttpAnswer | _native.Failure) -> None:
        if self._offline is not None:
            return
        try:
            if isinstance(outcome, HttpAnswer):
                # The body is borrowed for the call, not copied.
                step = self._engine.responded(_now(), link, request, outcome.status, outcome.body, outcome.tls)
            else:
                step = self._engine.handle(_now(), _native.Input.FAILED(link, request, outcome))
        except (_native.Refused, _native.InternalError) as error:
            self._die(error)
            return
        self._carry_out(step)

    def _carry_out(self, step: _native.Step) -> None:
        self._outputs.extend(step.outputs)
        deadline = step.deadline
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None and self._offline is None:
            delay = min(max(0, deadline.at_ms - _now()) / 1000, _LONGEST_SLEEP)
            self._timer = asyncio.get_running_loop().call_later(delay, self._tick)
        # An output may cause an input, whose outputs come after those that wait already.
        if self._working:
            return
        self._working = True
        try:
            while self._outputs:
                self._do(self._outputs.popleft())
        finally:
            self._working = False

    def _do(self, output: _native.Output) -> None:
        if isinstance(output, _native.Output.EVENT):
            self._happened(output.event)
        elif isinstance(output, _native.Output.POST):
            if link := self._links.get(output.link):
                link.post(output.request, output.body)
        elif isinstance(output, _native.Output.ABANDON):
            if link := self._links.get(output.link):
                link.abandon(output.request)
        elif isinstance(output, _native.Output.CONNECT):
            self._open(output)
        elif isinstance(output, _native.Output.STORE):
            self._store(output)
        elif isinstance(output, _native.Output.DERIVE_KEY):
            self._derive(output.job, output.derivation)
        elif isinstance(output, _native.Output.RESOLVE):
            why = "the asyncio driver asks neither DNS nor the server's host-meta: give connect() the URL"
            self._feed(_native.Input.RESOLVED(output.query, _native.Resolution.FAILED(_native.Failure.OTHER(why))))
        elif isinstance(output, _native.Output.CLOSE) and (link := self._links.pop(output.link, None)):
            closing = asyncio.get_running_loop().create_task(link.close(_GOODBYE / 2))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def _open(self, connect: _native.Output) -> None:
        link: int = connect.link
        endpoint = connect.endpoint
        if not isinstance(endpoint, _native.Endpoint.BOSH):
            kind = "TCP" if isinstance(endpoint, _native.Endpoint.TCP) else "WebSocket"
            why = f"the asyncio driver connects by BOSH only, not by {kind}: give connect() the URL of the server's BOSH service"
            self._feed(_native.Input.FAILED(link, None, _native.Failure.OTHER(why)))
            return

        def deliver(request: int, outcome: HttpAnswer | _native.Failure) -> None:
            self._answered(link, request, outcome)

        opened = Link(endpoint.url, self._context, connect.max_message, self._may_read, deliver)
        self._links[link] = opened
        if self._binds:
            self._beside(self._bind(link, opened, connect.server_name), f"epode link {link}")
        else:
            self._opened(link, connect.server_name, None)

    async def _bind(self, link: int, opened: Link, server_name: str) -> None:
        """A login by password is bound to the server's certificate, which has to be seen before the first request."""
        outcome = await opened.look()
        if self._links.get(link) is not opened or self._offline is not None:
            return
        if isinstance(outcome, _native.Failure):
            del self._links[link]
            await opened.close(0)
            self._feed(_native.Input.FAILED(link, None, outcome))
        else:
            self._opened(link, server_name, outcome)

    def _opened(self, link: int, server_name: str, end_point: bytes | None) -> None:
        # The context verifies the server's certificate for the URL's host on every connection, or the request fails.
        info = _native.LinkInfo(
            encrypted=True,
            verified=_native.Verified.HOST(server_name),
            # Requests go over several connections, which have no more in common than the certificate.
            channel_bindings=_native.ChannelBindings(tls_server_end_point=end_point),
        )
        self._feed(_native.Input.CONNECTED(link, info))
        if not self._may_read.is_set():
            # A slow application is slow on the next link too.
            self._feed(_native.Input.READING(link, False))

    def _store(self, output: _native.Output) -> None:
        slot: str = output.slot.name.lower()
        if self._state is None or slot not in SLOTS:
            return
        try:
            self._state.write(slot, output.append, output.bytes)
        except OSError as error:
            # What follows may be done only once this is stored.
            self._outputs.clear()
            why = f"the login token cannot be stored: {error.strerror or error}"
            self._failed = EpodeError(why)
            self._end(Offline("stopped", "store", why))

    def _derive(self, job: int, derivation: _native.Derivation) -> None:
        def run() -> tuple[_native.DerivedKey, bytes]:
            # The library lets go of the interpreter's lock, and the password stays in it.
            key = derivation.run()
            return key, key.to_bytes()

        def done(future: asyncio.Future[tuple[_native.DerivedKey, bytes]]) -> None:
            if future.cancelled() or self._offline is not None:
                return
            key, self._derived = future.result()
            self._feed(_native.Input.DERIVED(job, key))

        asyncio.get_running_loop().run_in_executor(None, run).add_done_callback(done)

    def _do_task(self, task: Task) -> None:
        handler = self._tasks[task.task]

        async def run() -> None:
            try:
                payload = await handler(task)
                if self._offline is None:
                    self._feed(_native.Input.TASK(None if payload is None else _bytes(payload)))
            except Exception as error:
                self._failed = error
                if self._offline is None:
                    self._feed(_native.Input.STOP())

        self._beside(run(), f"epode task {task.task}")

    def _beside(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)

    def _happened(self, native: _native.Event) -> None:
        if isinstance(native, _native.Event.IQ_DONE):
            answer = self._answers.pop(native.token, None)
            if answer is not None and not answer.done():
                answer.set_result(native.result)
            return
        if isinstance(native, _native.Event.WRITABLE):
            self._writable.set()
            if self._unannounced:
                self._announce()
            return
        event = _convert.event(native, _now())
        if event is None:
            return
        if isinstance(event, Delivery) and event.token in self._own:
            if event.stage in ("acked", "failed"):
                self._own.discard(event.token)
            return
        if isinstance(event, Offline):
            self._end(event)
            return
        if isinstance(event, Task):
            self._do_task(event)
            return
        self._events.append(event)
        self._news.set()
        if isinstance(event, Online):
            self._jid = event.jid
            self._was_online = True
            # The key was right.
            self._scram_key, self._derived = self._derived or self._scram_key, None
            self._changed.set()
            # A session that goes on has its presence already.
            if self._available and not event.resumed:
                self._announce()
        elif isinstance(event, Interrupted):
            self._jid = None
        elif isinstance(event, Message | Presence | Request):
            self._stanzas_waiting += 1
            self._judge_reading()

    def _announce(self) -> None:
        self._unannounced = False
        try:
            token = self._feed(_native.Input.SEND(b"<presence xmlns='jabber:client'/>"))
        except _Full:
            # What the application sent while there was no session goes first.
            self._unannounced = True
            return
        except NotOnline:
            # Interrupted meanwhile: it is announced after the next login.
            return
        if token is not None:
            # Its delivery is nobody's business; the events of it that wait already are among the outputs still to come.
            self._own.add(token)

    def _judge_reading(self) -> None:
        """A slow application makes the driver stop reading, and the engine stop its clocks, or the server would look dead."""
        if self._offline is not None:
            return
        reading = self._may_read.is_set()
        if reading and self._stanzas_waiting >= _BACKLOG:
            self._may_read.clear()
        elif not reading and self._stanzas_waiting <= _BACKLOG // 2:
            self._may_read.set()
        else:
            return
        for link in list(self._links):
            self._feed(_native.Input.READING(link, not reading))

    def _tick(self) -> None:
        self._timer = None
        if self._offline is None:
            self._feed(_native.Input.TICK())

    def _end(self, reason: Offline) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._offline is not None:
            return
        self._offline = reason
        self._jid = None
        self._events.append(reason)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(_native.IqResult.DISCONNECTED())
        for waited_for in (self._news, self._changed, self._writable, self._may_read):
            waited_for.set()

    def _die(self, error: Exception) -> None:
        """The engine panicked: nothing that it would say can be relied on."""
        self._outputs.clear()
        self._end(Offline("stopped", "fault", f"a fault of epode's own, please report it: {error}"))

    async def _wait(self, event: asyncio.Event) -> None:
        await event.wait()
        if self._offline is None:
            event.clear()


class InvalidStanzaType(ConfigurationError):
    """An error type that RFC 6120 §8.3.2 does not have."""

    def __init__(self, type: str) -> None:
        super().__init__(f"{type!r} is not one of {', '.join(_convert.ERROR_TYPES)}")


class _Full(Exception):
    """The outbound queue is full."""


def _now() -> int:
    """Milliseconds on a clock that never runs backwards and counts the time that a device sleeps, where there is one."""
    # macOS: CLOCK_MONOTONIC counts it. Windows has no clock_gettime.
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
    if hasattr(time, "clock_gettime_ns"):
        return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000_000
    return time.monotonic_ns() // 1_000_000


def _bytes(xml: str | bytes) -> bytes:
    return xml.encode() if isinstance(xml, str) else xml
