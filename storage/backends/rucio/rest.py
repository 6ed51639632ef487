"""The server of a Rucio, asked through its own client: with patience, and errors of one line without secrets.

Everything is loaded and asked with the first question. Who asks, and where, says the ``rucio.cfg`` of the client.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any, TypeVar

from storage.backends.protocols import BackendError
from storage.backends.rucio.patience import waits_of
from storage.shown import one_line, printable, quoted

if TYPE_CHECKING:
    from storage.config.site import RucioSettings

_log = logging.getLogger(__name__)

T = TypeVar("T")

_SHOWN = 60

_one_at_a_time = threading.Lock()
"""The client reads its configuration into the process, and writes its name to ``sys.argv``."""


class RucioFault(BackendError):
    """The database behind a Rucio did not do what it was asked for, and nothing more is said of why."""


class _NoAnswer(TypeError):
    """What came is not what a Rucio gives."""


class RucioServer:
    """The server that the client's configuration names."""

    def __init__(self, settings: RucioSettings) -> None:
        self._settings = settings
        self._made: Any = None
        self._host = ""

    @property
    def label(self) -> str:
        """Where it is; its configuration as long as that is not known."""
        return f"Rucio at {printable(self._host)}" if self._host else self.name

    @property
    def name(self) -> str:
        """What it is, before it was asked and after."""
        config = self._settings.config
        return f"the Rucio of {printable(str(config))}" if config is not None else "the Rucio of the client"

    def ask(self, what: str, question: Callable[[Any], T], *, faults_heal: bool = True) -> T:
        """Put a question to the client, which has to be answered whole inside of it; ``what`` names it in errors.

        A server that cannot be reached, is busy, or breaks off, is asked again for as long as `RucioSettings.patience`
        says, from its first failure on; so it may be asked twice for what it has done already. Where a fault may mean
        that nothing was left to be done, it does not heal.

        Raises:
            RucioFault: the database of the server failed, which may mean anything.
            BackendError: all other failures.
        """
        waits: Iterator[float | None] | None = None
        while True:
            try:
                return question(self._client())
            except Exception as error:
                failure = self._translated(what, error)
                waits = waits_of(self._settings.patience) if waits is None else waits
                heals = faults_heal if isinstance(failure, RucioFault) else _may_heal(error)
                wait = next(waits) if heals else None
                if wait is None:
                    raise failure from error
                _log.warning("%s; asking again in %.2g s", failure, wait)
                self._made = None
                time.sleep(wait)

    def _client(self) -> Any:
        if self._made is None:
            self._made = self._connected()
        return self._made

    def _connected(self) -> Any:
        try:
            from rucio.client import Client
            from rucio.common.config import clean_cached_config
        except ImportError as error:
            raise BackendError(
                f"Rucio: the client cannot be loaded ({one_line(error)}); install dynamo-consistency[rucio]"
            ) from error
        settings = self._settings
        with _one_at_a_time:
            name = sys.argv[0]
            try:
                if settings.config is not None:
                    # It has no other way to be told which file to read.
                    os.environ["RUCIO_CONFIG"] = str(settings.config)
                    clean_cached_config()
                self._host = _configured_host()
                # None of its log is wanted: at the level of debugging it has passwords.
                vo = None if settings.vo == "def" else settings.vo
                return Client(account=settings.account, vo=vo, timeout=settings.timeout, logger=_silent())
            finally:
                sys.argv[0] = name

    def _translated(self, what: str, error: Exception) -> BackendError:
        if isinstance(error, BackendError):
            return error
        from rucio.common import exception as known

        words = f"{self.label}: {what}: "
        match error:
            case known.ConfigNotFound() | known.ConfigLoadingError() | known.MissingClientParameter():
                advice = "Rucio.Config names a rucio.cfg with [client]"
                return BackendError(f"{words}the client is not configured: {_plain(error)}; {advice}")
            case known.CannotAuthenticate() | known.NoAuthInformation():
                account = quoted(self._settings.account) if self._settings.account else "of its configuration"
                where = "there" if self._settings.config is None else f"in {printable(str(self._settings.config))}"
                return BackendError(f"{words}the account {account} was refused: {_plain(error)}; see [client] {where}")
            case known.AccessDenied():
                return BackendError(f"{words}the account may not do this: {_plain(error)}")
            case known.RSENotFound():
                advice = "set Rucio.RSE of the site to the name of its RSE, which is that of the site otherwise"
                return BackendError(f"{words}{_plain(error)}; {advice}")
            case known.DatabaseException():
                return RucioFault(f"{words}{_plain(error)}")
            case known.ServerConnectionException():
                return BackendError(f"{words}it cannot be reached")
        if _makes_no_sense(error) or isinstance(error, KeyError):
            # A key that is missing is that of the token in what should be an answer to who asks.
            return BackendError(f"{words}the answer is none of a Rucio ({_plain(error) or type(error).__name__})")
        return BackendError(f"{words}{_plain(error) or type(error).__name__}")


def _configured_host() -> str:
    from rucio.common.config import config_get

    return str(config_get("client", "rucio_host", raise_exception=False, default=""))


def object_of(answer: Any) -> dict[str, Any]:
    """Give an answer that is an object; to be called inside of `RucioServer.ask`.

    Raises:
        _NoAnswer: it is something else, such as the page of a gateway.
    """
    if not isinstance(answer, dict):
        raise _NoAnswer(f"expected an object, found {_shown(answer)}")
    return answer


def objects_of(answers: Iterable[Any]) -> list[dict[str, Any]]:
    """Give answers that are objects; see `object_of`."""
    return [object_of(answer) for answer in answers]


def names_of(answers: Iterable[Any]) -> list[str]:
    """Give answers that are names of Rucio; see `object_of`."""
    names = list(answers)
    for name in names:
        # A page is one text to the client, and taken for a name it would be one that has no file.
        if not isinstance(name, str) or not name.isprintable() or "<" in name:
            raise _NoAnswer(f"expected a name, found {_shown(name)}")
    return names


def _shown(answer: Any) -> str:
    if isinstance(answer, str):
        return quoted(answer[:_SHOWN])
    return "null" if answer is None else f"a value of the type {type(answer).__name__}"


def _makes_no_sense(error: Exception) -> bool:
    return isinstance(error, JSONDecodeError | _NoAnswer)


def _may_heal(error: Exception) -> bool:
    if isinstance(error, BackendError):
        return False
    import requests
    from rucio.common.exception import ServerConnectionException

    broken = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    # With 500 and nothing else it was not Rucio who spoke, but what stands before it.
    busy = any(f"http status code: {code}" in str(error) for code in (429, 500, 502, 503, 504))
    # A page in the place of an answer, or a part of one, is what a gateway gives that is in trouble.
    return busy or _makes_no_sense(error) or isinstance(error, (ServerConnectionException, *broken))


def _plain(error: Exception) -> str:
    """Give what an error says, in one line, without what the client knows and nobody else may."""
    from rucio.common.config import config_get

    # Some errors of the server show all that it knows of an RSE.
    words = one_line(error).partition(" : {")[0]
    try:
        password = config_get("client", "password", raise_exception=False, default="")
    except Exception:
        # Without a configuration there is no password either.
        return words
    return words.replace(str(password), "***") if password else words


def _silent() -> logging.Logger:
    logger = logging.Logger("rucio")
    logger.disabled = True
    return logger
