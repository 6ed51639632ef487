"""The file of a plan: JSON lines, with a digest of all of them in the last one. ``docs/formats.md`` has the table.

PlanError    a plan cannot be read, is damaged, or was changed; the message is one line that names the file
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine import paths
from engine.columns import UNKNOWN_MTIME, UNKNOWN_SIZE
from engine.gates import Refusal
from engine.plan import Action, Cause, Held, PlanHeader, PlanItem, PlanRun, PlanSums
from storage.atomic import AtomicFile

_FORMAT, _VERSION = "dynamo-consistency-plan", 1

_CHANGED = "it was changed by hand, cut off or damaged, and is not applied; the next check makes a new one"


class PlanError(Exception):
    """A plan cannot be used; the message names its file."""


def write_plan(path: Path, header: PlanHeader, items: Iterable[PlanItem]) -> Plan:
    """Write a plan, whole or not at all, in the place of the one that is there.

    Raises:
        ReportError: it cannot be written.
    """
    digest, kept = hashlib.sha256(), []
    AtomicFile.clear_up(path)
    with AtomicFile(path) as file:

        def put(value: dict[str, Any]) -> None:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"
            digest.update(text.encode("utf-8", "backslashreplace"))
            file.write(text)

        put({"format": _FORMAT, "version": _VERSION, **_head(header)})
        for item in items:
            kept.append(item)
            put(_line(item))
        sums = PlanSums.of(kept)
        put({"items": sums.total, "bytes": sums.total_size})
        file.write(json.dumps({"digest": f"sha256:{digest.hexdigest()}"}) + "\n")
    return Plan(header, tuple(kept), digest.hexdigest())


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan as it was read or written; ``digest`` is the one in its last line, in hexadecimal digits."""

    header: PlanHeader
    items: tuple[PlanItem, ...]
    digest: str

    @property
    def name(self) -> str:
        """What the plan is called in the log and on the terminal."""
        return self.digest[:12]


def read_plan(path: Path, site: str) -> Plan:
    """Read the plan of a site.

    Raises:
        PlanError: there is none, or it is not as it was written.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise PlanError(f"{site} has no plan; check {site} makes one") from error
    except OSError as error:
        raise PlanError(f"{path}: cannot be read: {error.strerror}") from error
    body, _, last = content.removesuffix(b"\n").rpartition(b"\n")
    body += b"\n"
    digest = hashlib.sha256(body).hexdigest()
    try:
        if json.loads(last) != {"digest": f"sha256:{digest}"} or not content.endswith(b"\n"):
            raise ValueError("another digest")
        first, *lines, _sums = body.splitlines()
        head = json.loads(first)
        known = (head.pop("format"), head.pop("version"))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise PlanError(f"{path}: its digest is not that of its lines: {_CHANGED}") from error
    if known != (_FORMAT, _VERSION):
        raise PlanError(f"{path}: is {known[0]} of version {known[1]}, which this program does not read")
    try:
        plan = Plan(_header(head), tuple(_items(lines)), digest)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise PlanError(f"{path}: makes no sense, although its digest is right: {error}") from error
    if plan.header.site != site:
        raise PlanError(f"{path}: is a plan for {plan.header.site}, not for {site}")
    return plan


def _head(header: PlanHeader) -> dict[str, Any]:
    return asdict(header)


def _header(head: dict[str, Any]) -> PlanHeader:
    gates = tuple(Refusal(**gate) for gate in head["gates"])
    held = tuple(Held(Cause(each["cause"]), int(each["items"]), str(each["why"])) for each in head.get("held", ()))
    return PlanHeader(**{**head, "run": PlanRun(**head["run"]), "gates": gates, "held": held})


def _line(item: PlanItem) -> dict[str, Any]:
    return {
        "item": item.number,
        "action": item.action.value,
        "cause": item.cause.value,
        "path": paths.decode(item.path),
        "size": None if item.size == UNKNOWN_SIZE else item.size,
        "mtime": None if item.mtime == UNKNOWN_MTIME else item.mtime,
        "reason": item.reason,
    }


def _items(lines: list[bytes]) -> Iterator[PlanItem]:
    for number, line in enumerate(lines, 1):
        kept = json.loads(line)
        size, mtime = kept["size"], kept["mtime"]
        if kept["item"] != number:
            raise ValueError(f"item {kept['item']} in the place of item {number}")
        yield PlanItem(
            number,
            Cause(kept["cause"]),
            paths.encode(kept["path"]),
            UNKNOWN_SIZE if size is None else int(size),
            UNKNOWN_MTIME if mtime is None else int(mtime),
            str(kept["reason"]),
            Action(kept["action"]),
        )
