"""Equal calls of a run, made once where equal calls bring equal replies (`LLM.asks_once`).

Rules:

- Calls are equal if they have the same key: the backend's settings, the prompt as it is sent, how
  many texts, and the first generation's number, so that a row's own generations are as many calls
  as were asked for. Never which row asks: of a backend that samples, equal rows get replies of
  their own, and its calls do not come here.
- The first to ask is the asker. Whoever asks for the same meanwhile waits, and holds no permit.
- A reply is everybody's. So is a failure that the call itself is to blame for: a prompt that is
  too long is so for all. Any other failure, or the asker's cancellation, is its own: one of those
  who wait asks next.
- Each row reads the reply for itself. One that can make nothing of it asks for the next try of the
  same call, which is made once, too.
- Replies are remembered up to `REPLIES_BYTES_MAX`, the latest used; of what was forgotten the
  journal is asked. Without a journal it is asked again.
- What a call took is counted where it was made. A shared reply brings no tokens and no attempts,
  and the request id of the call that it is of.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from sys import getsizeof
from typing import TYPE_CHECKING, TypeAlias

import anyio

from distilabel.errors import InvalidReplyError, RowFatalError
from distilabel.journal import Occurrences
from distilabel.types import KeptReply

if TYPE_CHECKING:
    from distilabel.errors import CallError
    from distilabel.pipeline.recording import CallRecorder
    from distilabel.pipeline.stages import Draft
    from distilabel.types import Call

__all__ = ["REPLIES_BYTES_MAX", "SharedCalls", "SharedRecorder", "SharingStatistics"]

REPLIES_BYTES_MAX = 32 << 20
"""How much of the replies of one stage is remembered: some 10,000 of them, of 2 KB each."""
_REPLY_BYTES = 800
"""What a remembered reply takes beside its texts."""


@dataclass(frozen=True, slots=True)
class SharingStatistics:
    """Calls that are shared, at one moment."""

    under_way: int
    """Calls that are being made, or looked for in the journal."""
    waiting: int
    """Rows that wait for one of those."""
    remembered: int
    """Replies that are remembered."""
    bytes: int
    """About what they take."""


_Remembered: TypeAlias = tuple[KeptReply, bool, int]
"""A reply, whether an earlier run had made the call, and the bytes that it takes. A plain tuple:
one is made for each call."""


@dataclass(slots=True)
class _Waiting:
    """Those who wait for one call."""

    rows: int = 0
    told: anyio.Event = field(default_factory=anyio.Event)
    reply: _Remembered | None = None
    error: CallError | None = None


class SharedCalls:
    """The calls of one stage of a run, by key.

    Args:
        recorder: knows keys, and the journal if there is one.
        bytes_max: how much is remembered of replies.
    """

    def __init__(self, recorder: CallRecorder, *, bytes_max: int = REPLIES_BYTES_MAX) -> None:
        self._recorder = recorder
        self._bytes_max = bytes_max
        self._under_way: dict[bytes, _Waiting | None] = {}
        self._replies: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._bytes = 0
        self._forgotten = Occurrences() if recorder.has_journal else None
        self._has_forgotten = False

    def of_row(self, draft: Draft) -> SharedRecorder:
        """What one row asks."""
        return SharedRecorder(self, self._recorder, draft)

    def statistics(self) -> SharingStatistics:
        """The calls at this moment."""
        waiting = sum(each.rows for each in self._under_way.values() if each is not None)
        return SharingStatistics(len(self._under_way), waiting, len(self._replies), self._bytes)

    def is_first(self, key: bytes) -> bool:
        """Whether nobody asks or has asked for this: then the caller is its asker.

        What `find` finds out, for the usual case, and without a turn of the loop.
        """
        if key in self._replies or key in self._under_way:
            return False
        if self._recorder.may_find or self._is_forgotten(key):
            return False
        self._under_way[key] = None
        return True

    async def find(self, key: bytes) -> KeptReply | None:
        """The reply of an equal call; None: the caller is its asker, and is to say how it ends.

        Raises:
            RowFatalError: an equal call failed, and this one would.
            InvalidReplyError: an equal call was paid for, and of no use.
            JournalCorruptError: its record is damaged.
        """
        while (known := self._replies.get(key)) is None:
            if key not in self._under_way:
                return await self._look_up(key)
            if (kept := await self._wait(key)) is not None:
                return kept
        self._replies.move_to_end(key)
        return _shared(known)

    def bought(self, key: bytes, kept: KeptReply) -> None:
        """The asker has a reply, and has kept it."""
        self._settle(key, kept, is_reused=False)

    def gave_up(self, key: bytes, error: BaseException | None) -> None:
        """The asker has none."""
        waiting = self._under_way.pop(key, None)
        if waiting is None:
            return
        if isinstance(error, RowFatalError | InvalidReplyError):
            waiting.error = error
        waiting.told.set()

    async def _look_up(self, key: bytes) -> KeptReply | None:
        self._under_way[key] = None
        try:
            kept = await self._recorder.find_key(key)
            is_reused, is_forgotten = kept is not None, self._is_forgotten(key)
            if kept is None and is_forgotten:
                kept = await self._recorder.find_own_key(key)
        except BaseException:
            self.gave_up(key, None)
            raise
        if kept is None:
            return None
        remembered = self._settle(key, kept, is_reused=is_reused)
        return _shared(remembered) if is_forgotten else kept

    async def _wait(self, key: bytes) -> KeptReply | None:
        """The reply of the call under way; None: it came to nothing, and somebody else may ask."""
        waiting = self._under_way[key]
        if waiting is None:
            waiting = self._under_way[key] = _Waiting()
        waiting.rows += 1
        try:
            await waiting.told.wait()
        finally:
            waiting.rows -= 1
        if waiting.error is not None:
            raise _again(waiting.error) from waiting.error
        return None if waiting.reply is None else _shared(waiting.reply)

    def _settle(self, key: bytes, kept: KeptReply, *, is_reused: bool) -> _Remembered:
        size = sum(map(getsizeof, kept.reply.texts), _REPLY_BYTES)
        remembered = self._replies[key] = kept, is_reused, size
        self._bytes += size
        while self._bytes > self._bytes_max:
            self._forget()
        waiting = self._under_way.pop(key, None)
        if waiting is not None:
            waiting.reply = remembered
            waiting.told.set()
        return remembered

    def _forget(self) -> None:
        key, (_, _, size) = self._replies.popitem(last=False)
        self._bytes -= size
        if self._forgotten is not None:
            self._forgotten.count(key)
            self._has_forgotten = True

    def _is_forgotten(self, key: bytes) -> bool:
        return self._has_forgotten and self._forgotten is not None and key in self._forgotten


class SharedRecorder:
    """`SharedCalls` for one row: what `llm.asking` asks."""

    __slots__ = ("_call", "_calls", "_draft", "_key", "_paid_try", "_recorder")

    def __init__(self, calls: SharedCalls, recorder: CallRecorder, draft: Draft) -> None:
        self._calls = calls
        self._recorder = recorder
        self._draft = draft
        self._call: Call | None = None
        self._paid_try = 0
        self._key = b""

    async def find(self, call: Call, paid_try: int) -> KeptReply | None:
        """The reply of an equal call, of this run or an earlier one."""
        key = self._key_of(call, paid_try)
        return None if self._calls.is_first(key) else await self._calls.find(key)

    def keep(self, call: Call, paid_try: int, kept: KeptReply) -> None:
        """Hand a reply to the journal, then to those who wait for it."""
        key = self._key_of(call, paid_try)
        self._recorder.keep_key(key, self._draft, paid_try, kept)
        self._calls.bought(key, kept)

    def gave_up(self, call: Call, paid_try: int, error: BaseException) -> None:
        """Let somebody else ask."""
        self._calls.gave_up(self._key_of(call, paid_try), error)

    def _key_of(self, call: Call, paid_try: int) -> bytes:
        """The key, which is that of the last call as a rule: a prompt is not hashed twice."""
        if call is not self._call or paid_try != self._paid_try:
            self._call, self._paid_try = call, paid_try
            self._key = self._recorder.shared_key(call, paid_try)
        return self._key


def _shared(remembered: _Remembered) -> KeptReply:
    """The reply for another row, without what it took: that is counted once."""
    kept, is_reused, _ = remembered
    reply = replace(kept.reply, usage=None)
    return KeptReply(reply, attempts=0, seconds=0.0, is_shared=not is_reused)


def _again(error: CallError) -> CallError:
    """The same failure for another row: an exception that is raised in two tasks mixes them up."""
    kind = RowFatalError if isinstance(error, RowFatalError) else InvalidReplyError
    return kind(str(error), cause=error.cause, status=error.status, request_id=error.request_id)
