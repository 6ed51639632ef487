"""The commands ``web install`` and ``web serve``."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cli.exits import CommandError, ExitCode
from cli.session import Settings

if TYPE_CHECKING:
    from storage.page.build import Built
    from storage.page.histories import Histories


def install_page(settings: Settings, directory: Path | None, as_json: bool) -> ExitCode:
    """Build the page from what is there, and say where it is and how to see it."""
    web_dir, histories = _places(settings, directory)
    built = _build(settings, web_dir, histories)
    index = web_dir / "index.html"
    if as_json:
        print(json.dumps({"page": str(index), "sites": built.sites, "notices": list(built.notices)}))
        return ExitCode.DONE
    _warn(built)
    print(f"{index}: {built.sites} {'site' if built.sites == 1 else 'sites'}")
    print(f"to see it: open {index.as_uri()}, let a web server serve {web_dir}, or: {_serving(settings, directory)}")
    return ExitCode.DONE


def _serving(settings: Settings, directory: Path | None) -> str:
    """Give the command that serves the same page."""
    config = ["--config", str(settings.config_file)] if settings.config_file else []
    given = ["--directory", str(directory)] if directory else []
    return shlex.join(["dynamo-consistency", *config, "web", "serve", *given])


def serve_page(settings: Settings, directory: Path | None, host: str, port: int, as_json: bool) -> ExitCode:
    """Serve the web directory until SIGINT or SIGTERM; the address is printed when it can be opened."""
    from storage.page.refresh import Refresher, sign_of
    from storage.page.server import PageServer, ServeError

    web_dir, histories = _places(settings, directory)
    # What is wrong with the directory is said now, and not to whoever opens the page.
    _warn(_build(settings, web_dir, histories))
    watched = [histories.shared, *histories.own.values()]
    refresh = Refresher(lambda: _build(settings, web_dir, histories), lambda: sign_of(web_dir, *watched))
    try:
        server = PageServer(web_dir, host, port, refresh)
    except ServeError as error:
        raise CommandError(str(error)) from error
    with server:
        try:
            # Whoever has read it may end it at once.
            if as_json:
                print(json.dumps({"url": server.url, "directory": str(web_dir)}), flush=True)
            else:
                print(f"{server.url} serves {web_dir}; Ctrl-C ends it", flush=True)
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            # A terminal shows ^C where the cursor was.
            print("\nstopped", file=sys.stderr)
    return ExitCode.DONE


def _places(settings: Settings, directory: Path | None) -> tuple[Path, Histories]:
    """Give the web directory, as an absolute path, and the histories."""
    from storage.page.histories import Histories

    return (directory or settings.config.top_level().web_dir).absolute(), Histories.of_config(settings.config)


def _build(settings: Settings, web_dir: Path, histories: Histories) -> Built:
    from storage.page.build import build_page
    from storage.page.limits import PageLimits

    return build_page(web_dir, histories.shared, PageLimits.of_config(settings.config), time.time(), histories.own)


def _warn(built: Built) -> None:
    for notice in built.notices:
        print(f"dynamo-consistency: {notice}", file=sys.stderr)
