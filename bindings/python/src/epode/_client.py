"""One account, as an application sees it: events to iterate over, and calls that answer."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from epode import _convert, _login, _native
from epode._address import Address
from epode._state import State
from epode._tls import Tls
from epode._turns import Full, Turns, now
from epode.errors import (
    ConfigurationError,
    EpodeError,
    NotOnline,
    RequestFailed,
    RequestTimedOut,
    went_offline,
)
from epode.events import Answer, Delivery, Event, Interrupted, Message, Offline, Online, Presence, Request, Task

#: Does a task that the server asks for after the credentials, a second factor for example: gives the task's own element, or nothing.
TaskHandler: TypeAlias = Callable[[Task], Awaitable[str | bytes | None]]

#: Stanzas that may wait for the application before the driver stops reading from the server; it goes on at half of it.
_BACKLOG: Final = 1_000

#: Events of all kinds that may wait before calls wait too: an application that sends and never looks would fill the memory with news
#: of its own stanzas, of which each has three.
_UNREAD: Final = 30_000

#: Longer than the engine waits for the goodbye, which is the real limit (5 s).
_GOODBYE: Final = 10.0


class Client:
    """One account, online until the application leaves. Made by :func:`connect`; it belongs to the event loop that enters it.

    Iterate over it for events: :class:`Online` is the first, :class:`Offline` the last. After each :class:`Interrupted` there is another
    :class:`Online`, or the end.
    """

    def __init__(
        self,
        engine: _native.Client,
        tls: Tls,
        *,
        available: bool = True,
        binds: bool = False,
        state: State | None = None,
        tasks: Mapping[str, TaskHandler] | None = None,
        name_servers: Sequence[Address] = (),
    ) -> None:
        self._turns = Turns(
            engine,
            tls,
            self._happened,
            self._broken,
            self._drop_task,
            binds=binds,
            state=state,
            name_servers=name_servers,
        )
        self._available = available
        self._tasks = dict(tasks or {})
        self._handler: asyncio.Task[None] | None = None
        # What the handler is to answer, while somebody waits for that.
        self._asked: object | None = None
        self._failed: BaseException | None = None
        self._scram_key: bytes | None = None
        self._events: deque[Event] = deque()
        self._stanzas_waiting = 0
        self._reading = True
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._changed = asyncio.Event()
        self._own: set[int] = set()
        self._answers: dict[int, asyncio.Future[_native.IqResult]] = {}
        self._started = False
        self._leaving = False
        self._jid: str | None = None
        self._was_online = False
        self._unannounced = False
        self._offline: Offline | None = None

    # ---- life

    async def __aenter__(self) -> Self:
        """Logs in. Raises a :class:`WentOffline` that says who is to blame."""
        if self._started:
            raise EpodeError("a client is used once: make a new one with connect()")
        self._started = True
        try:
            self._turns.start()
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
        """Says goodbye and closes the connections; events that were not read yet can still be. Doing it twice is harmless.

        It takes as long as the server does to answer, and at most 14 seconds. Cancelled, it lets go of everything at once.
        """
        self._leaving = True
        try:
            if self._started and self._offline is None:
                # What the server still says has to be read, whoever reads events.
                self._turns.application_reads(True)
                self._turns.feed(_native.Input.STOP())
                try:
                    async with asyncio.timeout(_GOODBYE):
                        while self._offline is None:
                            await self._wait(self._changed)
                except TimeoutError:
                    pass
        finally:
            self._end(Offline("stopped", "stopped", "offline, as asked"))
            await self._turns.close()

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
        if isinstance(event, _STANZAS):
            self._stanzas_waiting -= 1
            if not self._reading and self._stanzas_waiting <= _BACKLOG // 2:
                self._judge_reading()
        if len(self._events) == _UNREAD // 2:
            self._room.set()
        return event

    # ---- what an application asks for

    async def send_message(self, to: str, text: str) -> int:
        """Sends a chat message. The token names it in :class:`Delivery` events. Waits while the outbound queue is full."""
        try:
            xml: bytes = _native.chat(to, text)
        except _native.Refused as error:
            raise _convert.refused(error) from None
        except UnicodeEncodeError as error:
            raise _convert.no_unicode(error) from None
        except _native.InternalError:
            # What a panic says can quote what it was about.
            raise EpodeError("epode has a bug: please report what led to this") from None
        return await self.send(xml)

    async def send(self, xml: str | bytes) -> int:
        """Sends a ``<message/>`` or ``<presence/>``; one without a namespace is in ``jabber:client``. As :meth:`send_message`."""
        return await self._when_room(_native.Input.SEND(_convert.utf8(xml)))

    async def request(self, xml: str | bytes, *, timeout: float | None = None) -> Answer:
        """Sends an ``<iq/>`` of type ``get`` or ``set`` and waits for its answer, by default for 60 seconds.

        Its ``id`` is replaced by one that nobody can guess. Raises :class:`RequestFailed` for an error of the entity's,
        :class:`RequestTimedOut`, or :class:`NotOnline` where the session ended first: whether the request was handled is not known then.
        """
        if timeout is not None and not math.isfinite(timeout):
            raise ConfigurationError(f"timeout={timeout} is no number of seconds; without one it is 60")
        timeout_ms = None if timeout is None else max(0, int(timeout * 1000))
        answer = asyncio.get_running_loop().create_future()
        token = await self._when_room(_native.Input.REQUEST(_convert.utf8(xml), timeout_ms), answer)
        try:
            result: _native.IqResult = await answer
        except asyncio.CancelledError:
            if self._offline is None:
                self._turns.feed(_native.Input.CANCEL(token))
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
        self._reply(request, _native.Reply.RESULT(None if payload is None else _convert.utf8(payload)))

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
        self._turns.feed(_native.Input.PROVIDE(credentials))

    def _reply(self, request: Request, reply: _native.Reply) -> None:
        self._turns.feed(_native.Input.RESPOND(request.token, reply))

    async def _when_room(
        self, input: _native.Input, answer: asyncio.Future[_native.IqResult] | None = None
    ) -> int:
        def registered(token: int) -> None:
            if answer is not None:
                self._answers[token] = answer

        while True:
            self._room.clear()
            try:
                # Once it is over there is nothing to wait for: the turn says so.
                if len(self._events) < _UNREAD or self._offline is not None:
                    token = self._turns.feed(input, registered)
                    if token is None:
                        raise NotOnline("not online: the session has not begun, or is over")
                    return token
            except Full:
                pass
            await self._wait(self._room)

    # ---- what happens

    def _happened(self, native: _native.Event) -> None:
        if isinstance(native, _native.Event.IQ_DONE):
            answer = self._answers.pop(native.token, None)
            if answer is not None and not answer.done():
                answer.set_result(native.result)
            return
        if isinstance(native, _native.Event.WRITABLE):
            self._room.set()
            if self._unannounced:
                self._announce()
            return
        event = _convert.event(native, now())
        if isinstance(event, _STANZAS):
            self._queue(event)
            self._stanzas_waiting += 1
            if self._reading and self._stanzas_waiting >= _BACKLOG:
                self._judge_reading()
        elif isinstance(event, Delivery):
            if event.token not in self._own:
                self._queue(event)
            elif event.stage in ("acked", "failed"):
                self._own.discard(event.token)
        elif isinstance(event, Offline):
            self._end(event)
        elif isinstance(event, Task):
            self._do_task(event)
        elif event is not None:
            self._queue(event)
            if isinstance(event, Online):
                self._went_online(event)
            elif isinstance(event, Interrupted):
                self._jid = None

    def _queue(self, event: Event) -> None:
        self._events.append(event)
        self._news.set()

    def _went_online(self, event: Online) -> None:
        self._jid = event.jid
        self._was_online = True
        # The key was right.
        self._scram_key, self._turns.derived = self._turns.derived or self._scram_key, None
        self._changed.set()
        # A session that goes on has its presence already.
        if self._available and not event.resumed:
            self._announce()

    def _announce(self) -> None:
        self._unannounced = False
        try:
            token = self._turns.feed(_native.Input.SEND(b"<presence xmlns='jabber:client'/>"))
        except Full:
            # What the application sent while there was no session goes first.
            self._unannounced = True
            return
        except EpodeError:
            # Interrupted meanwhile: it is announced after the next login. Or the end, which was told already: this is within a turn, where
            # nobody would catch it.
            return
        if token is not None:
            # Its delivery is nobody's business; the events of it that wait already are among the outputs still to come.
            self._own.add(token)

    def _do_task(self, task: Task) -> None:
        handler = self._tasks[task.task]
        self._drop_task()
        asked = self._asked = object()

        async def run() -> None:
            failed: Exception | None = None
            payload: bytes | None = None
            try:
                answer = await handler(task)
                payload = None if answer is None else _convert.utf8(answer)
            except asyncio.CancelledError:
                if self._asked is not asked or self._offline is not None:
                    raise
                # By itself: it awaited something that was cancelled.
                failed = EpodeError(f"the handler of the task {task.task} was cancelled")
            except Exception as error:
                failed = error
            # It may be too late, whatever came of it: the connection on which the server asked is gone, and the client goes on without.
            if self._asked is not asked or self._offline is not None:
                return
            self._asked = None
            try:
                if failed is None:
                    self._turns.feed(_native.Input.TASK(payload))
                    return
            except _convert.Misused:
                return
            except EpodeError as error:
                failed = error
            self._failed = self._failed or failed
            if self._offline is None:
                with contextlib.suppress(EpodeError):
                    self._turns.feed(_native.Input.STOP())

        self._handler = self._turns.beside(run(), f"epode task {task.task}")

    def _drop_task(self) -> None:
        """Nobody waits for the task any more that a handler is about."""
        self._asked = None
        if self._handler is not None:
            self._handler.cancel()
            self._handler = None

    def _judge_reading(self) -> None:
        most = _BACKLOG if self._reading else _BACKLOG // 2 + 1
        reads = self._leaving or self._stanzas_waiting < most
        if reads != self._reading and self._offline is None:
            self._reading = reads
            self._turns.application_reads(reads)

    def _broken(self, reason: Offline, error: EpodeError | None) -> None:
        self._failed = self._failed or error
        self._end(reason)

    def _end(self, reason: Offline) -> None:
        self._turns.halt()
        if self._offline is not None:
            return
        self._offline = reason
        self._jid = None
        self._events.append(reason)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(_native.IqResult.DISCONNECTED())
        for waited_for in (self._news, self._changed, self._room):
            waited_for.set()

    async def _wait(self, event: asyncio.Event) -> None:
        await event.wait()
        if self._offline is None:
            event.clear()


class InvalidStanzaType(ConfigurationError):
    """An error type that RFC 6120 §8.3.2 does not have."""

    def __init__(self, type: str) -> None:
        super().__init__(f"{type!r} is not one of {', '.join(_convert.ERROR_TYPES)}")


_STANZAS: Final = (Message, Presence, Request)
