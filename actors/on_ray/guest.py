"""An actor on a node whose program may be another one, or none: what stands for it there until that is known.

All of this travels to the node by value, so it uses the standard library and Ray alone. What belongs to the program,
the actor's class and its arguments, is packed inside and unpacked there only when the sources are the same: what
another version makes of them is nobody's guess.
"""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
import platform
import socket
import sys
from collections.abc import Callable
from importlib import metadata
from inspect import isfunction
from pathlib import Path
from typing import Any

import ray

PACKAGES = ("actors", "engine", "storage")
"""The packages whose sources make up what an actor does."""

_DISTRIBUTION = "dynamo-consistency"

_UNFIT = "dynamo-consistency: unfit node"
"""The first argument of the error of an actor that cannot be, whose type has to be known everywhere."""

Program = tuple[str, str, str]
"""Version, digest of the sources, and version of Python; without a digest there is no such program."""


def program_here() -> Program:
    """Say which program this process would import; that takes some ten milliseconds."""
    digest = hashlib.sha256()
    try:
        version = metadata.version(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        version = ""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        # A directory that happens to have the name is none.
        if spec is None or spec.origin is None:
            return version, "", platform.python_version()
        root = Path(spec.origin).parent
        for path in sorted(root.rglob("*.py")):
            content = path.read_bytes()
            digest.update(f"{package}/{path.relative_to(root).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    return version, digest.hexdigest()[:8], platform.python_version()


def package_directories() -> list[str]:
    """Give the directories of the packages that are imported here."""
    specs = [importlib.util.find_spec(package) for package in PACKAGES]
    return [str(Path(spec.origin).parent) for spec in specs if spec is not None and spec.origin is not None]


def words_of(program: Program) -> str:
    """Name a program, for people."""
    version, digest, python = program
    return f"{version or 'without a version'} (sources {digest}, Python {python})"


def are_same(one: Program, other: Program) -> bool:
    """Whether an actor of the one may live in the other."""
    # Ray has its own opinion about the last part of Python's version.
    return one[1] == other[1] and one[2].rpartition(".")[0] == other[2].rpartition(".")[0]


def node_here() -> str:
    """Name the node that this process is on."""
    utilities: Any = ray.util
    name, address = socket.gethostname(), utilities.get_node_ip_address()
    return f"{name} ({address})" if name != address else name


def refusal(node: str, there: Program, sender: Program, python: str) -> str:
    """Say in one line that a node has another program, and what to do; ``python`` is the interpreter there."""
    found = f"dynamo-consistency {words_of(there)}" if there[1] else "no dynamo-consistency"
    install = f"{python} -m pip install --force-reinstall WHEEL"
    return (
        f"the node {node} has {found}, and this program is {words_of(sender)}: install the same there ({install}), or "
        "send this one along with --ship"
    )


def lacks(node: str, module: str, python: str) -> str:
    """Say in one line that a node lacks a package that the program needs."""
    return (
        f"the node {node} lacks the Python package {module}, which dynamo-consistency needs: install it there with "
        f"{python} -m pip, or let Ray do so by the key RuntimeEnv"
    )


class Guest:
    """Stands for an actor: is it where it may be, and if not, says so to whoever asks."""

    def __init__(self, sender: Program, sealed: bytes) -> None:
        self._actor: Any = None
        self._refused = ""
        here = program_here()
        if not are_same(here, sender):
            self._refused = refusal(node_here(), here, sender, sys.executable)
            return
        try:
            actor, first, arguments = pickle.loads(sealed)
            # Credentials and the log, before anything that might look for them.
            for prepare in first:
                prepare()
            self._actor = actor(*arguments)
        except ModuleNotFoundError as error:
            self._refused = lacks(node_here(), str(error.name).partition(".")[0], sys.executable)

    def _pass_on(self, method: str, arguments: tuple[Any, ...]) -> Any:
        if self._refused:
            raise RuntimeError(_UNFIT, self._refused)
        return getattr(self._actor, method)(*arguments)


def guest_of(actor: type) -> type:
    """Give what stands for an actor of a class, with its name and its methods."""
    methods = {name: _passing_on(name) for name in dir(actor) if not name.startswith("_") and _is_method(actor, name)}
    return type(actor.__name__, (Guest,), methods)


def _is_method(actor: type, name: str) -> bool:
    return isfunction(getattr(actor, name))


def _passing_on(name: str) -> Callable[..., Any]:
    def method(self: Any, *arguments: Any) -> Any:
        return self._pass_on(name, arguments)

    method.__name__ = method.__qualname__ = name
    return method


def refused(error: BaseException | None) -> str:
    """Say why an actor cannot be where it is, of what one of its methods raised; empty for any other error."""
    if isinstance(error, RuntimeError) and len(error.args) > 1 and error.args[0] == _UNFIT:
        return str(error.args[1])
    return ""
