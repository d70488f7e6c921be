"""The dice and the clock of moto, set before every request so that a replay gives the same ids and the same dates.

moto draws ids from its own random source, from the global `random`, from `uuid` and from `os.urandom`, and reads the
clock in some hundred places. While a `Chance` is installed it decides all of them, inside `Chance.at`, for the thread
that is in there. Everywhere else draws are random and the clock tells the time.

Not covered: keys that OpenSSL makes (asymmetric KMS keys, ACM certificates, EC2 key pairs). They differ after a replay;
their ids do not.
"""

import datetime
import hashlib
import itertools
import os
import random
import sys
import threading
import time
import types
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, ClassVar

_real_time = time.time
_real_urandom = os.urandom


class Chance:
    """Decides every draw and every reading of the clock inside `at`.

    One may be installed at a time, and one thread may be inside `at` at a time.

    Args:
        salt: Makes the ids of one local cloud differ from those of another.
        born: When the local cloud began, in seconds since the epoch: the date of what every account has from the start.

    Attributes:
        owner: Identifies the thread that is inside `at`; 0 for none.
        now: The time in there, in seconds since the epoch.
        request_id: The id of the request being answered.
    """

    _installed: "ClassVar[Chance | None]" = None

    def __init__(self, salt: bytes, born: float) -> None:
        from moto.moto_api._internal import mock_random  # noqa: PLC0415 (moto reads the environment when imported)

        self._salt = salt
        self._born = born
        self._bytes = random.Random()  # noqa: S311 (ids of a simulation)
        self._dice: tuple[random.Random, ...] = (mock_random, random._inst, self._bytes)
        self._modules = 0
        self.owner = 0
        self.now = born
        self.request_id = ""

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Lets moto and the standard library ask this object."""
        _take_over()
        before, Chance._installed = Chance._installed, self
        try:
            yield
        finally:
            Chance._installed = before

    @contextmanager
    def at(self, label: str, when: float) -> Iterator[Callable[[], bool]]:
        """Everything drawn inside depends on salt and label alone, and the clock stands still.

        Args:
            label: Names the request, e.g. its sequence number.
            when: The time that moto sees, in seconds since the epoch.

        Yields:
            A function that tells whether anything was drawn so far.
        """
        self._notice_imports()
        before = (self.owner, self.now, self.request_id)
        states = [dice.getstate() for dice in self._dice]
        seed = hashlib.blake2b(self._salt + label.encode(), digest_size=32).digest()
        for dice in self._dice:
            dice.seed(seed)
        fresh = [dice.getstate() for dice in self._dice]
        self.owner, self.now, self.request_id = threading.get_ident(), when, str(uuid.UUID(bytes=seed[:16]))
        try:
            yield lambda: any(dice.getstate() != state for dice, state in zip(self._dice, fresh, strict=True))
        finally:
            self._notice_imports()
            self.owner, self.now, self.request_id = before
            for dice, state in zip(self._dice, states, strict=True):
                dice.setstate(state)

    def _notice_imports(self) -> None:
        if self._modules != len(sys.modules):
            _give_clock()
            self._modules = len(sys.modules)

    @contextmanager
    def apart(self, label: str) -> Iterator[None]:
        """For what is made once, by whichever request comes first: draws of its own, dated when the cloud began.

        A region's default VPC is such a thing. The first request may be a read, which is not replayed; the draws of the
        request after it must not depend on it.
        """
        with self.at(label, self._born):
            yield

    def bytes(self, size: int) -> bytes:
        """Draws that many bytes."""
        return self._bytes.randbytes(size)


def _asked() -> Chance | None:
    """The installed chance, if this thread is inside its `at`."""
    chance = Chance._installed
    return chance if chance is not None and chance.owner == threading.get_ident() else None


def _time() -> float:
    chance = _asked()
    return _real_time() if chance is None else chance.now


def _urandom(size: int, /) -> bytes:
    chance = _asked()
    return _real_urandom(size) if chance is None else chance.bytes(size)


class _LikeDatetime(type):
    """Makes `isinstance(x, Datetime)` true of ordinary datetimes, which is all that `Datetime` ever makes."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime.datetime)


class Datetime(datetime.datetime, metaclass=_LikeDatetime):
    """What moto's modules see as `datetime.datetime`: the same, but `now` asks the installed chance."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return datetime.datetime(*args, **kwargs)  # noqa: DTZ001 (the caller's zone is in there)

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return datetime.datetime.fromtimestamp(_time(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        return cls.now(datetime.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls) -> Any:
        return cls.now()


def _copy_of(module: types.ModuleType, **changes: object) -> types.ModuleType:
    copy = types.ModuleType(module.__name__)
    copy.__dict__.update(vars(module), **changes)
    return copy


_stand_ins: dict[int, object] = {
    id(datetime): _copy_of(datetime, datetime=Datetime),
    id(datetime.datetime): Datetime,
    id(time): _copy_of(time, time=_time),
    id(_real_time): _time,
}
_seen: set[str] = set()


def _give_clock() -> None:
    """Gives our clock to the modules of moto that were imported since the last call."""
    for name in sys.modules.keys() - _seen:
        _seen.add(name)
        if not name.startswith("moto."):
            continue
        namespace = vars(sys.modules[name])
        for key, value in list(namespace.items()):
            if (stand_in := _stand_ins.get(id(value))) is not None:
                namespace[key] = stand_in


@cache
def _take_over() -> None:
    """Puts our functions in place, for good: where no chance is installed they do what they always did."""
    from moto.core import base_backend, responses  # noqa: PLC0415 (moto reads the environment when imported)

    os.urandom = _urandom
    random._urandom = _urandom  # type: ignore[attr-defined]
    # Only hashed and compared, and drawn when a module is first imported: no part of what a request does.
    base_backend.uuid4 = itertools.count().__next__  # type: ignore[assignment]

    # Every answer carries an id. Were it drawn, then every read would look as if it had made something.
    draw_request_id = responses.gen_amzn_requestid_long

    def request_id(headers: dict[str, Any]) -> str:
        chance = _asked()
        if chance is None:
            return draw_request_id(headers)
        headers["x-amzn-requestid"] = chance.request_id
        return chance.request_id

    responses.gen_amzn_requestid_long = request_id  # type: ignore[assignment]

    regions = base_backend.AccountSpecificBackend
    get_region = regions.__getitem__

    def get_region_apart(these: Any, region: str) -> Any:
        name = "aws" if region == "global" else region
        chance = _asked()
        if chance is None or name in these.keys():  # noqa: SIM118 (`in these` asks for known regions, not those made)
            return get_region(these, region)
        with chance.apart(f"{these.service_name}/{these.account_id}/{name}"):
            return get_region(these, region)

    regions.__getitem__ = get_region_apart  # type: ignore[method-assign]
