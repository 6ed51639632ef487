"""What an XRootD client's status means, and what the words mean in which its programs print one.

``code`` is the client's own error number; with 400 the server has answered, and ``errno`` is the protocol's error.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

from engine.listing import Failed, NoChecksum
from engine.states import Reason
from storage.listers.credentials import explain, explain_tls

Status: TypeAlias = dict[str, Any]
"""The status of an answer as ``pyxrootd`` gives it: ok, code, errno, fatal, message and more."""

_Any = TypeVar("_Any")

_ANSWERED = 400
_PARTIAL = 3
_FS_ERROR = 3005
_NOT_FOUND = 3011
_UNSUPPORTED = 3013

_BY_CODE = {
    110: Reason.AUTHENTICATION,
    203: Reason.AUTHENTICATION,
    204: Reason.AUTHENTICATION,
    206: Reason.TIMEOUT,
    303: Reason.BAD_NAME,
} | dict.fromkeys((101, 102, 103, 104, 105, 106, 107, 108, 109, 201, 202, 207, 208), Reason.CONNECTION)

_BY_ERRNO = {
    3002: Reason.BAD_NAME,
    3010: Reason.PERMISSION,
    _NOT_FOUND: Reason.NOT_FOUND,
    3028: Reason.AUTHENTICATION,
    3030: Reason.AUTHENTICATION,
    3034: Reason.TIMEOUT,
    3035: Reason.TIMEOUT,
}

_OF_THE_DOOR = frozenset((Reason.AUTHENTICATION, Reason.CONNECTION, Reason.TIMEOUT))
"""What has to do with the way to a door more than with what it was asked."""

_OVER_TLS = ("roots", "xroots", "davs", "https")
"""The schemes over which a token is sent."""

_ANSWER = re.compile(r"Server responded with an error: \[(\d+)\] ?(.*)")

_BY_WORDS = {
    "Operation expired": Reason.TIMEOUT,
    "Socket timeout": Reason.TIMEOUT,
    "Invalid response": Reason.BAD_NAME,
    "Auth failed": Reason.AUTHENTICATION,
    "TLS error": Reason.AUTHENTICATION,
    "Connection error": Reason.CONNECTION,
    "Invalid address": Reason.CONNECTION,
    "Socket error": Reason.CONNECTION,
    "Socket disconnected": Reason.CONNECTION,
    "Stream disconnect": Reason.CONNECTION,
    "Hand shake failed": Reason.CONNECTION,
    "Poller error": Reason.CONNECTION,
    "Redirect limit": Reason.CONNECTION,
}


def is_complete(status: Status) -> bool:
    """Tell whether the answer is whole: an ok with any code is not."""
    return bool(status["ok"]) and status["code"] == 0


def is_answer(status: Status) -> bool:
    """Tell whether the status is the server's, whatever it says, and not one of the client about the way to it."""
    return bool(status["ok"]) or status["code"] == _ANSWERED


def is_denied(status: Status) -> bool:
    """Tell whether the server itself answered that there is no such path."""
    return not status["ok"] and status["code"] == _ANSWERED and status["errno"] == _NOT_FOUND


def failure(status: Status) -> Failed:
    """Put a status that is not complete into a reason and one line of what was said."""
    code, errno = status["code"], status["errno"]
    said = _one_line(status["message"])
    if status["ok"]:
        return Failed(Reason.PARTIAL, "the server's answer is partial" if code == _PARTIAL else f"ok with code {code}")
    if code != _ANSWERED:
        return Failed(_BY_CODE.get(code, Reason.SERVER), said)
    return answered(errno, said)


def answered(errno: int, words: str) -> Failed:
    """Put an error of the protocol itself, and what the server said of it, into a reason and one line."""
    said = _one_line(words)
    if errno == _FS_ERROR and "not a directory" in said.lower():
        # 3005 stands for every error of a file system that has no number of its own, this one among them.
        return Failed(Reason.NOT_A_DIRECTORY, said)
    return Failed(_BY_ERRNO.get(errno, Reason.SERVER), said)


def no_checksum(errno: int, words: str) -> NoChecksum | Failed:
    """Put an error that came in the place of a checksum into words: whether there will be none, or none now."""
    said = _one_line(words)
    return NoChecksum(said) if errno == _UNSUPPORTED or is_unsupported(said) else answered(errno, words)


def is_unsupported(said: str) -> bool:
    """Tell by what a server, or a program, said of an error whether there are no such checksums."""
    return f"[{_UNSUPPORTED}]" in said or "not supported" in said.lower()


def said_failure(said: str) -> Failed:
    """Put what an XRootD program said about a failure, in one line, into a reason."""
    answer = _ANSWER.search(said)
    if answer is not None:
        return failure({"ok": False, "code": _ANSWERED, "errno": int(answer[1]), "message": answer[0]})
    reason = next((reason for words, reason in _BY_WORDS.items() if words in said), Reason.SERVER)
    return Failed(reason, _one_line(said))


def refused(outcome: _Any | Failed, scheme: str, host: str) -> _Any | Failed:
    """Add to an outcome that is the door's own fault which one that was, and what there is to look at."""
    if not isinstance(outcome, Failed) or outcome.reason not in _OF_THE_DOOR:
        return outcome
    if outcome.reason != Reason.AUTHENTICATION:
        return replace(outcome, detail=f"{outcome.reason.label} at {host}: {outcome.detail}")
    if "TLS" in outcome.detail:
        hint = explain_tls(os.environ, outcome.detail)
    else:
        hint = explain(os.environ, scheme in _OVER_TLS, time.time())
    return replace(outcome, detail=f"{Reason.AUTHENTICATION.label} at {host}: {outcome.detail} ({hint})")


def _one_line(message: str) -> str:
    return " ".join(message.replace("\0", " ").split()).removeprefix("[ERROR] ").removeprefix("[FATAL] ")
