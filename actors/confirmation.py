"""How missing candidates are confirmed: the coordinator's listers ask the store for each.

Only what the store denies then, a second time, is a finding. What it says is judged in `engine.confirm`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from actors.runtime import ActorRef
from engine.compare import Tally
from engine.confirm import (
    Doubt,
    Verdict,
    contradiction,
    emptiness_questions,
    judge,
    not_empty,
    refutation,
    unpack_verdicts,
)
from engine.findings import Finding, pack_findings

_BATCH = 200
"""Candidates (directories) in one message."""

_PATIENCE = 300.0
"""Seconds that the coordinator may take for one message."""

_POLL = 0.02


class Confirmation:
    """Has the candidates of one comparison confirmed. ``stopped`` says that nobody wants the result any more.

    ``rest`` lets so many seconds pass, between two questions whether there are verdicts.

    Raises:
        RuntimeError: the comparison was stopped.
    """

    def __init__(
        self,
        coordinator: ActorRef,
        tally: Tally,
        stopped: Callable[[], bool],
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        self._coordinator = coordinator
        self._tally = tally
        self._stopped = stopped
        self._rest = rest
        self._candidates: list[Finding] = []
        self._asked = 0
        self._doubts: list[Doubt] = []

    def add(self, candidate: Finding) -> None:
        """Take a candidate; the questions go to the coordinator in batches, while the comparison goes on."""
        self._candidates.append(candidate)
        if len(self._candidates) - self._asked >= _BATCH:
            self._ask_for_the_rest()

    def confirmed(self, unlisted: set[bytes]) -> list[Finding]:
        """Wait for all verdicts; give what the store denied, in the order of the candidates."""
        self._ask_for_the_rest()
        confirmed: dict[bytes, Finding] = {}
        for finding, verdict in self._verdicts_on(self._candidates):
            judgement = judge(finding, verdict)
            confirmed[verdict.path] = judgement.missing
            for count, reason in judgement.protected:
                self._tally.protect(count, reason)
            self._note(contradiction(verdict, unlisted))
        return [confirmed[finding.directory] for finding in self._candidates]

    def not_empty(self, directories: Iterable[bytes]) -> set[bytes]:
        """Ask whether directories that look empty are; give those, of all that were asked about, that are not."""
        questions = emptiness_questions(directories)
        for start in range(0, len(questions), _BATCH):
            self._ask_for(questions[start : start + _BATCH])
        for _, verdict in self._verdicts_on(questions):
            self._note(refutation(verdict))
        return not_empty(self._doubts)

    def doubts(self) -> list[Doubt]:
        """Give the directories whose listing was contradicted, each once."""
        # A directory may be doubted for a file and for its emptiness.
        return list({doubt.path: doubt for doubt in reversed(self._doubts)}.values())

    def _note(self, doubt: Doubt | None) -> None:
        if doubt is not None:
            self._doubts.append(doubt)

    def _ask_for_the_rest(self) -> None:
        self._ask_for(self._candidates[self._asked :])
        self._asked = len(self._candidates)

    def _ask_for(self, candidates: list[Finding]) -> None:
        if candidates:
            self._coordinator.ask("confirm", pack_findings(candidates)).result(_PATIENCE)

    def _verdicts_on(self, findings: list[Finding]) -> Iterator[tuple[Finding, Verdict]]:
        """Wait for the verdict on each of the findings that were asked for."""
        asked = {finding.directory: finding for finding in findings}
        while asked:
            if self._stopped():
                raise RuntimeError("the comparison was stopped")
            verdicts = unpack_verdicts(self._coordinator.ask("take_verdicts").result(_PATIENCE))
            for verdict in verdicts:
                finding = asked.pop(verdict.path, None)
                if finding is not None:
                    yield finding, verdict
            if not verdicts:
                self._rest(_POLL)
