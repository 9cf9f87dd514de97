"""The turn loop: whatever happens is one call of the engine, and all that the engine answers is carried out, in its order."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from epode import _convert, _native, _resolve
from epode._address import Address
from epode._bosh import BoshLink
from epode._link import Link, Opening
from epode._state import SLOTS, State
from epode._tcp import TcpLink
from epode._tls import Tls
from epode._websocket import WebSocketLink
from epode.errors import ConfigurationError, EpodeError, NotOnline
from epode.events import Offline

#: How long the last bytes and the server's own goodbye may take on a link that is closed.
_FLUSH: Final = 2.0

#: The event loop's clock stands still while a device sleeps; the engine's does not. An early Tick is harmless.
_LONGEST_SLEEP: Final = 30.0

#: How often the engine is told what the clock on the wall shows, in milliseconds.
_WALL_CLOCK: Final = 3_600_000

#: How long after its deadline a question is given up: the engine has gone on by then, and not because of this.
_PATIENCE: Final = 1.0


class Turns:
    """Owns the engine, its links and its timer. ``happened`` gets each event; it is called within a turn, as is ``link_gone``.

    It is the :class:`~epode._link.Desk` of all links.
    """

    def __init__(
        self,
        engine: _native.Client,
        tls: Tls,
        happened: Callable[[_native.Event], None],
        broken: Callable[[Offline, EpodeError | None], None],
        link_gone: Callable[[], None],
        *,
        binds: bool,
        state: State | None,
        name_servers: Sequence[Address],
    ) -> None:
        self._engine = engine
        self._tls = tls
        self._happened = happened
        self._broken = broken
        self._link_gone = link_gone
        self._binds = binds
        self._state = state
        self._name_servers = name_servers
        self._running = False
        self._outputs: deque[_native.Output] = deque()
        self._working = False
        self._links: dict[int, Link] = {}
        self._closing = set[asyncio.Task[None]]()
        # What goes on beside the turns: a question to DNS, a task of the application's, the key of a password.
        self._busy = set[asyncio.Future[Any]]()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0
        self._deadline: int | None = None
        self._told_time = 0
        self._app_reads = True
        self._wants_read = True
        self._reading = True
        #: What the password became, until a login shows that it was right.
        self.derived: bytes | None = None

    # ---- life

    def restore(self) -> None:
        """Before the start: what an earlier process stored."""
        if self._state is None:
            return
        for slot in SLOTS:
            if content := self._state.load(slot):
                # Damaged, or of another account: the engine starts afresh, and what it stores next takes its place.
                with contextlib.suppress(_native.Refused.Snapshot):
                    self._engine.handle(now(), _native.Input.RESTORE(_native.Slot[slot.upper()], content))

    def start(self) -> None:
        """Begins; until :meth:`halt` inputs go in."""
        self._running = True
        self._tell_time()
        # If epode's own fault comes before, that is what is told.
        self._tell(_native.Input.START())

    def halt(self) -> None:
        """It is over: no input goes in any more, and of the outputs that are left only those that let something go count."""
        self._running = False
        self._set_timer(None)

    async def close(self) -> None:
        """Lets go of everything. The links that the engine has closed say their goodbye first."""
        try:
            if self._closing:
                await asyncio.wait(list(self._closing))
        finally:
            self.halt()
            links = [link.close(0) for link in self._links.values()]
            self._links.clear()
            left = [*self._closing, *self._busy]
            for work in left:
                # A thread cannot be cancelled, only waited for: a key takes a second at most.
                if isinstance(work, asyncio.Task):
                    work.cancel()
            await asyncio.gather(*links, *left, return_exceptions=True)

    # ---- inputs

    def feed(self, input: _native.Input, registered: Callable[[int], None] | None = None) -> int | None:
        """One turn with an input of the application's. ``registered`` gets the token, if there is one, before anything is carried out.

        Raises :class:`Full`, or an :class:`EpodeError` for what is refused.
        """
        if not self._running:
            raise NotOnline("not online: the session has not begun, or is over")
        try:
            step = self._engine.handle(now(), input)
        except _native.Refused.Full:
            raise Full from None
        except _native.Refused as error:
            raise _convert.refused(error) from None
        except UnicodeEncodeError as error:
            raise _convert.no_unicode(error) from None
        except _native.InternalError:
            raise self._panicked() from None
        token: int | None = step.token
        if registered is not None and token is not None:
            registered(token)
        self._carry_out(step)
        return token

    def connected(self, link: int, info: _native.LinkInfo) -> None:
        if link in self._links:
            self._tell(_native.Input.CONNECTED(link, info))

    def received(self, link: int, data: bytes) -> None:
        if not self._running:
            return
        try:
            # Borrowed for the call, not copied.
            step = self._engine.received(now(), link, data)
        except (_native.Refused, _native.InternalError):
            self._panicked()
            return
        self._carry_out(step)

    def responded(self, link: int, request: int, status: int, body: bytes, tls: _native.TlsFacts | None) -> None:
        if not self._running:
            return
        try:
            step = self._engine.responded(now(), link, request, status, body, tls)
        except (_native.Refused, _native.InternalError):
            self._panicked()
            return
        self._carry_out(step)

    def written(self, link: int, count: int) -> None:
        self._tell(_native.Input.WRITTEN(link, count))

    def failed(self, link: int, request: int | None, failure: _native.Failure) -> None:
        self._tell(_native.Input.FAILED(link, request, failure))

    def ended(self, link: int) -> None:
        self._tell(_native.Input.ENDED(link))

    def _tell(self, input: _native.Input) -> None:
        """For inputs that this driver gives only where the contract has them."""
        if not self._running:
            return
        try:
            step = self._engine.handle(now(), input)
        except (_native.Refused, _native.InternalError):
            self._panicked()
            return
        self._carry_out(step)

    def _tell_time(self) -> None:
        self._told_time = now()
        self._tell(_native.Input.CLOCK(time.time_ns() // 1_000_000))

    def _panicked(self) -> EpodeError:
        """A panic of the engine's is an event; this is what else went wrong between here and there. Nothing that it says can be relied on."""
        self._let_go()
        why = "epode has a bug and cannot go on; make a new client, and please report what led to this"
        self._broken(Offline("internal", "panic", why), None)
        return EpodeError(why)

    def _let_go(self) -> None:
        """Nothing more is carried out, and nothing more is said on any link."""
        self._outputs.clear()
        for number in list(self._links):
            self._close(number, 0)

    # ---- back-pressure

    def application_reads(self, reads: bool) -> None:
        """A slow application makes the driver stop reading, and the engine stop its clocks, or the server would look dead."""
        self._app_reads = reads
        self._judge_reading()

    def _judge_reading(self) -> None:
        reading = self._app_reads and self._wants_read
        if reading == self._reading or not self._running:
            return
        self._reading = reading
        for number, link in list(self._links.items()):
            link.read(reading)
            self._tell(_native.Input.READING(number, reading))

    # ---- outputs

    def _carry_out(self, step: _native.Step) -> None:
        outputs = self._outputs
        outputs.extend(step.outputs)
        self._set_timer(step.deadline)
        if step.wants_read != self._wants_read:
            self._wants_read = step.wants_read
            self._judge_reading()
        # An output may cause an input, whose outputs come after those that wait already.
        if self._working:
            return
        self._working = True
        try:
            while outputs:
                output = outputs.popleft()
                if isinstance(output, _EVENT):
                    self._happened(output.event)
                else:
                    self._do(output)
        finally:
            self._working = False

    def _do(self, output: _native.Output) -> None:
        if isinstance(output, _native.Output.CONNECT):
            self._open(output)
        elif isinstance(output, _native.Output.CLOSE):
            self._close(output.link, _FLUSH)
        elif isinstance(output, _native.Output.STORE):
            self._store(output)
        elif isinstance(output, _native.Output.DERIVE_KEY):
            self._derive(output.job, output.derivation)
        elif isinstance(output, _native.Output.RESOLVE):
            self.beside(self._resolve(output.query, output.question, output.deadline_ms), f"epode query {output.query}")
        elif link := self._links.get(output.link):
            link.order(output)

    def _open(self, connect: _native.Output) -> None:
        endpoint = connect.endpoint
        opening = Opening(
            link=connect.link,
            server_name=connect.server_name,
            identified=connect.identity is not None,
            max_message=connect.max_message,
            tls=self._tls,
            desk=self,
        )
        link: Link
        try:
            if isinstance(endpoint, _native.Endpoint.TCP):
                link = TcpLink(opening, endpoint)
            elif isinstance(endpoint, _native.Endpoint.WEB_SOCKET):
                link = WebSocketLink(opening, endpoint)
            else:
                link = BoshLink(opening, endpoint, binds=self._binds)
        except ValueError as error:
            self.failed(opening.link, None, _native.Failure.OTHER(str(error)))
            return
        self._links[opening.link] = link
        if not self._reading:
            # A slow application is slow on the next link too.
            link.read(False)
            self._tell(_native.Input.READING(opening.link, False))

    def _close(self, number: int, flush: float) -> None:
        if link := self._links.pop(number, None):
            # One link at a time carries a login.
            self._link_gone()
            closing = asyncio.get_running_loop().create_task(link.close(flush), name=f"epode goodbye {number}")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def _store(self, output: _native.Output) -> None:
        slot: str = output.slot.name.lower()
        if self._state is None or slot not in SLOTS:
            return
        try:
            self._state.write(slot, output.append, output.bytes)
        except (OSError, ConfigurationError) as error:
            # What follows may be done only once this is stored.
            self._let_go()
            reason = (isinstance(error, OSError) and error.strerror) or error
            why = f"what logs in next time cannot be stored ({reason}), so nothing more was sent: make room for it"
            self._broken(Offline("stopped", "store", why), EpodeError(why))

    def _derive(self, job: int, derivation: _native.Derivation) -> None:
        def run() -> tuple[_native.DerivedKey, bytes]:
            # The library lets go of the interpreter's lock, and the password stays in it.
            key = derivation.run()
            return key, key.to_bytes()

        def done(future: asyncio.Future[tuple[_native.DerivedKey, bytes]]) -> None:
            self._busy.discard(future)
            if not self._running or future.cancelled():
                return
            if future.exception() is not None:
                self._panicked()
                return
            key, self.derived = future.result()
            self._tell(_native.Input.DERIVED(job, key))

        future = asyncio.get_running_loop().run_in_executor(None, run)
        self._busy.add(future)
        future.add_done_callback(done)

    async def _resolve(self, query: int, question: _native.Question, deadline: int) -> None:
        seconds = max(0, deadline - now()) / 1000 + _PATIENCE
        try:
            async with asyncio.timeout(seconds):
                answer = await _resolve.answer(question, self._tls, self._name_servers, seconds)
        except TimeoutError:
            answer = _native.Resolution.FAILED(_native.Failure.TIMEOUT())
        self._tell(_native.Input.RESOLVED(query, answer))

    def beside(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Goes on beside the turns, and ends with them."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)
        return task

    # ---- the timer

    def _set_timer(self, deadline: _native.Deadline | None) -> None:
        self._deadline = at = None if deadline is None or not self._running else deadline.at_ms
        timer = self._timer
        if at is None:
            if timer is not None:
                timer.cancel()
                self._timer = None
        # Deadlines mostly move away: a timer that rings before looks again.
        elif timer is None or at < self._timer_at:
            if timer is not None:
                timer.cancel()
            self._arm(at)

    def _arm(self, at: int) -> None:
        seconds = min(max(0, at - now()) / 1000, _LONGEST_SLEEP)
        self._timer_at = at
        self._timer = asyncio.get_running_loop().call_later(seconds, self._ring)

    def _ring(self) -> None:
        self._timer = None
        time = now()
        if time - self._told_time >= _WALL_CLOCK:
            self._tell_time()
        at = self._deadline
        if at is not None and at <= time:
            self._tell(_native.Input.TICK())
        # What was told may have set the timer already: there is never more than one.
        elif at is not None and self._timer is None:
            self._arm(at)


class Full(Exception):
    """The outbound queue is full."""


_EVENT: Final = _native.Output.EVENT


def now() -> int:
    """Milliseconds on a clock that never runs backwards and counts the time that a device sleeps, where there is one."""
    return _clock() // 1_000_000


def _make_clock() -> Callable[[], int]:
    # macOS: CLOCK_MONOTONIC counts it. Windows has no clock_gettime.
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):
        if hasattr(time, "clock_gettime_ns") and hasattr(time, name):
            clock: int = getattr(time, name)
            return lambda: time.clock_gettime_ns(clock)
    return time.monotonic_ns


_clock: Final = _make_clock()
