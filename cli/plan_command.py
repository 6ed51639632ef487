"""The commands ``plan show``, ``plan apply`` and ``plan reject``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from actors.plans.plan_run import ApplyRequest, PlanRefused, PlanView, apply_plan, look, reject
from actors.threads import ThreadRuntime
from cli.display import human_bytes, human_count
from cli.exits import CommandError, ExitCode, as_command_error
from cli.session import RunOptions, Settings, open_runtime, overseen
from engine import paths
from engine.gates import Refusal
from engine.plan import Action, Cause, PlanItem, PlanSums
from storage.answers.effective import effective
from storage.backends import choose, site_named, with_last_copies, with_own_settings
from storage.shown import printable

if TYPE_CHECKING:
    from actors.plans.applying import Applied
    from storage.config.site import KnownSites, SiteConfig

_SHOWN = 5
"""So many items that stay are named on the terminal."""

_WHAT = {Cause.ORPHAN: "orphan", Cause.EMPTY: "empty directory", Cause.MISSING: "missing file"}
_PLURAL = {Cause.EMPTY: "empty directories"}
_VERB = {
    Action.DELETE: "delete",
    Action.QUARANTINE: "put aside",
    Action.TRANSFER: "bring back",
    Action.DECLARE: "declare lost",
}


def show_plan(settings: Settings, site: str, items: bool, as_json: bool) -> ExitCode:
    """Show the plan of a site: what would be done and why, and how far it is."""
    known = effective(settings.config, site)
    view = look(known.config, known.site, choose(known.config, known.site))
    if known.problem:
        # It is there to be looked at all the same.
        view = replace(view, refusal=Refusal("backend", known.problem))
    if as_json:
        print(json.dumps(_object(view, items)))
        return ExitCode.DONE
    for line in _lines(view):
        print(line)
    if items:
        for item in view.plan.items:
            print(f"{item.number} {item.action} {item.cause} {_state(view, item)} {paths.escape(item.path)}")
    return ExitCode.DONE


def apply(
    settings: Settings,
    site: str,
    limit: int | None,
    most_bytes: int | None,
    options: RunOptions,
    last_copies: bool = False,
) -> ExitCode:
    """Apply the plan of a site, or a part of it; ``last_copies`` are given up as well where the registry is a Rucio.

    Raises:
        CommandError: it may not be applied, or something ended it before its end.
    """
    config, settings_of_site = _known(settings.config, site)
    settings_of_site = with_last_copies(settings_of_site) if last_copies else settings_of_site
    backends = choose(config, settings_of_site)
    request = ApplyRequest(limit, most_bytes)
    with (
        open_runtime(
            options, settings_of_site.runtime, "threads", settings_of_site.runtime_env, "plan", site
        ) as actors,
        overseen(site, kept="the next plan apply goes on from there") as oversight,
    ):
        try:
            view, applied = apply_plan(actors, config, settings_of_site, backends, request, oversight)
        except PlanRefused as error:
            raise CommandError(str(error), ExitCode.NOT_LISTED) from error
    if options.as_json:
        print(json.dumps({**_object(view, False), "now": _applied(applied)}))
    else:
        print(f"{site}: plan {view.plan.name}: {_said(view, applied, most_bytes)}")
        for path, why in applied.stays[:_SHOWN]:
            print(f"  stays: {paths.escape(path)}: {why}")
    if applied.failure is not None:
        known = as_command_error(applied.failure)
        code = ExitCode.USAGE if known is None else known.code
        raise CommandError(f"{site}: {applied.failed}: {applied.failure}; plan apply {site} goes on from there", code)
    if applied.stays:
        said = f"{human_count(len(applied.stays), 'file')} could not be dealt with; plan apply {site} tries again"
        raise CommandError(f"{site}: {said}", ExitCode.NOT_LISTED)
    return ExitCode.DONE


def reject_plan(settings: Settings, site: str, why: str) -> ExitCode:
    """Reject the plan of a site."""
    known = effective(settings.config, site)
    view = reject(known.config, known.site, choose(known.config, known.site), ThreadRuntime(), printable(why))
    run = view.plan.header.run.number
    print(f"{site}: plan {view.plan.name} of run {run} is rejected; the next check makes another one")
    return ExitCode.DONE


def _known(config: KnownSites, name: str) -> tuple[KnownSites, SiteConfig]:
    """Give a site with what its backend knows of it, as the check had it that made the plan."""
    config = with_own_settings(config, site_named(config, name))
    return config, config.site(name)


def _lines(view: PlanView) -> Iterator[str]:
    plan, header = view.plan, view.plan.header
    made = datetime.fromtimestamp(header.made, UTC).strftime("%Y-%m-%d %H:%M")
    yield f"{header.site}: plan {plan.name}, made {made} UTC after run {header.run.number}"
    if not plan.items:
        yield "nothing is to be done"
    sums = PlanSums.of(plan.items)
    reasons = {item.cause: item.reason for item in plan.items}
    actions = {item.cause: item.action for item in plan.items}
    for cause, count in sums.items.items():
        size = f", {human_bytes(sums.size[cause])}" if sums.size[cause] else ""
        yield f"{_VERB[actions[cause]]} {_counted(count, cause)}{size}: {reasons[cause]}"
    for held in header.held:
        yield f"leave {_counted(held.items, held.cause)}: {held.why}"
    counts = view.counts
    if counts["done"] or counts["dropped"] or counts["failed"]:
        yield (
            f"{counts['done']:,} done, {counts['dropped']:,} left alone since they changed, {counts['left']:,} left"
            + (f", of which {counts['failed']:,} were tried in vain" if counts["failed"] else "")
        )
    if counts["sourceless"]:
        gives_up = actions[Cause.MISSING] is Action.DECLARE
        only = "declared, and lost for good, only with --last-copies" if gives_up else "nothing can bring them back"
        yield f"of no other copy known: {human_count(counts['sourceless'], _WHAT[Cause.MISSING])}; {only}"
    if view.refusal is not None:
        yield f"it may not be applied: {view.refusal.gate}: {view.refusal.message}"
    elif counts["left"] > counts["sourceless"]:
        yield f"apply it with: dynamo-consistency plan apply {header.site}"


def _counted(count: int, cause: Cause) -> str:
    return human_count(count, _WHAT[cause], _PLURAL.get(cause, ""))


def _state(view: PlanView, item: PlanItem) -> str:
    event = view.state.last(item.number)
    return "-" if event is None else event.value


def _object(view: PlanView, items: bool) -> dict[str, Any]:
    header, sums = view.plan.header, PlanSums.of(view.plan.items)
    refusal = view.refusal
    about = {
        "site": header.site,
        "plan": view.plan.name,
        "digest": f"sha256:{view.plan.digest}",
        "run": header.run.number,
        "made": header.made,
        "rejected": view.state.rejected,
        "refusal": None if refusal is None else {"gate": refusal.gate, "message": refusal.message},
        "sums": {cause.value: {"items": count, "bytes": sums.size[cause]} for cause, count in sums.items.items()},
        "held": [{"cause": held.cause.value, "items": held.items, "why": held.why} for held in header.held],
        **view.counts,
    }
    if not items:
        return about
    return {**about, "list": [_item(view, item) for item in view.plan.items]}


def _item(view: PlanView, item: PlanItem) -> dict[str, Any]:
    return {
        "item": item.number,
        "action": item.action.value,
        "cause": item.cause.value,
        "path": paths.decode(item.path),
        "state": _state(view, item),
        "reason": item.reason,
    }


def _applied(applied: Applied) -> dict[str, Any]:
    return {
        "done": applied.done,
        "new_deletions": applied.deletions,
        "transfers": len(applied.transfers.requested),
        "sourceless": applied.sourceless,
        "refused": len(applied.transfers.refused),
        "dropped": applied.dropped.total + applied.left_since,
        "stays": [{"path": paths.decode(path), "why": why} for path, why in applied.stays],
        "failure": None if applied.failure is None else str(applied.failure),
    }


def _said(view: PlanView, applied: Applied, most_bytes: int | None) -> str:
    parts = [f"{applied.done:,} done"]
    if applied.left_since:
        begun = f" ({applied.begun_before:,} of them were begun before, and may have been done)"
        said = f"{applied.left_since:,} left alone, of which inventory or settings say otherwise now"
        parts.append(said + (begun if applied.begun_before else ""))
    if applied.dropped.total:
        parts.append(f"left alone: {applied.dropped.words}")
    if applied.transfers.refused:
        parts.append(f"{len(applied.transfers.refused):,} missing refused by the registry")
    if applied.sourceless:
        gives_up = any(item.action is Action.DECLARE for item in view.plan.items)
        only = ", which only --last-copies has declared" if gives_up else ""
        parts.append(f"{applied.sourceless:,} missing without any source{only}")
    left = view.left
    parts.append(f"{len(left):,} left" if left else "nothing is left")
    if left and most_bytes is not None and not (applied.done or applied.failure):
        parts.append(f"the next item has {human_bytes(left[0].weight)}, more than --max-bytes")
    return ", ".join(parts)
