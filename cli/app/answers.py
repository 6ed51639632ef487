"""The commands that answer questions about findings, files and sites."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.app.options import JsonOption, leave


def diff(
    context: typer.Context,
    site: Annotated[str, typer.Argument(metavar="SITE", help="The site.")],
    first: Annotated[
        int | None, typer.Argument(metavar="RUN", min=1, help="A run; the last two when left out.")
    ] = None,
    second: Annotated[
        int | None, typer.Argument(metavar="RUN", min=1, help="The run to compare it with, instead of the one before.")
    ] = None,
    with_paths: Annotated[bool, typer.Option("--list", help="Print each path as well.")] = False,
    with_still: Annotated[bool, typer.Option("--still", help="With --list: also what both runs have found.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what is new, still there and gone between two runs of a site, by kind of finding."""
    from cli.answers.diff import show_difference

    leave(show_difference(context.obj, site, (first, second), with_paths, with_still, as_json))


def search(
    context: typer.Context,
    pattern: Annotated[
        str, typer.Argument(metavar="PATTERN", help="A part of a path, or with * ? [ a pattern for the whole of it.")
    ],
    regex: Annotated[bool, typer.Option("--regex", help="PATTERN is a regular expression.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="PATTERN is a part of a path, whatever is in it.")] = False,
    sites: Annotated[
        str | None, typer.Option("--site", metavar="PATTERN", help="Only sites whose names contain this expression.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            metavar="KIND",
            help="missing, orphan, size_mismatch, checksum_mismatch, empty or unlisted alone.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="How many at most; 0 is all.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each finding, one a line.")] = False,
) -> None:
    """Look for paths among the findings of all sites."""
    from cli.answers.search import SearchRequest, find

    leave(find(context.obj, SearchRequest(pattern, regex, plain, sites, kind, limit), as_json))


def explain(
    context: typer.Context,
    lfn: Annotated[str, typer.Argument(metavar="LFN", help="The file or directory; below RootPath without a slash.")],
    site: Annotated[
        str | None, typer.Option("--site", metavar="SITE", help="The site; the only one when left out.")
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Ask the doors of the site now, too.")] = False,
    escaped: Annotated[bool, typer.Option("--escaped", help="LFN is written as in the lists of a run.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Tell all that is known about one file or directory: where it is, how it was judged, and what followed."""
    from cli.answers.explain import ExplainRequest
    from cli.answers.explain import explain as tell

    leave(tell(context.obj, ExplainRequest(lfn, site, escaped, live), as_json))


def doctor(
    context: typer.Context,
    site: Annotated[str, typer.Argument(metavar="SITE", help="The site.")],
    as_json: JsonOption = False,
) -> None:
    """Look at all that a check of a site needs: doors, credentials, store, disks, inventory, and the last runs."""
    from cli.answers.doctor import examine

    leave(examine(context.obj, site, as_json))
