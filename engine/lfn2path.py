"""From the names of Rucio to paths below the prefix of a storage element, and back.

What Rucio calls ``lfn2pfn``: on a deterministic storage element the path of a file follows from its scope and name. A
path without a leading slash is relative to that prefix; what rules of a site make may be absolute. Names and paths are
bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

try:
    # What hashlib gives, at half of what it costs to ask OpenSSL for so little; there may be millions of names.
    from _md5 import md5  # type: ignore[import-not-found]
except ImportError:
    from hashlib import md5

DID = tuple[bytes, bytes]
"""Scope and name of a file: its data identifier."""

DOTTED = (b"user", b"group")
"""How scopes begin in whose paths each dot is a slash."""

_HEX = frozenset(b"0123456789abcdef")
_GROUP = re.compile(rb"\$(\d+)")
_URL = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/]*(/.*)", re.DOTALL)
_SFN = b"?SFN="
_LONGEST_CHAIN = 10


_Chains = dict[str, Callable[[bytes], bytes | None]]
"""What protocols make of names for those that are chained to them, by protocol."""


class NoPath(ValueError):
    """No rule makes a path of a name."""


class Matcher(Protocol):
    """A compiled regular expression, as `re` has them; it may give up with an error of its own."""

    @property
    def groups(self) -> int:
        """How many groups it has."""

    def fullmatch(self, text: bytes, /) -> re.Match[bytes] | None:
        """Match all of a text."""


Compile = Callable[[bytes], Matcher]
"""Compiles regular expressions; raises `re.error` or ``ValueError`` for what is none."""


class Lfn2Path(Protocol):
    """Makes paths of names; both directions know nothing of which files there are."""

    def paths(self, dids: Iterable[DID]) -> list[bytes]:
        """Make the path of each file.

        Raises:
            NoPath: there is none for a name.
        """

    def dids(self, path: bytes) -> list[DID]:
        """Give what has this path, the likeliest first; nothing when no name has it, or it cannot be told."""


def hash_path(scope: bytes, name: bytes) -> bytes:
    """Give the path of Rucio's algorithm ``hash``: two directories of two hexadecimal digits between scope and name."""
    digest = md5(b"%b:%b" % (scope, name), usedforsecurity=False).hexdigest().encode()
    return b"%b/%b/%b/%b" % (_scope_path(scope), digest[:2], digest[2:4], name)


def identity_path(scope: bytes, name: bytes) -> bytes:
    """Give the path of Rucio's algorithm ``identity``: scope and name."""
    return b"%b/%b" % (_scope_path(scope), name)


def _scope_path(scope: bytes) -> bytes:
    return scope.replace(b".", b"/") if scope.startswith(DOTTED) else scope


class HashPaths:
    """Rucio's algorithm ``hash``."""

    def paths(self, dids: Iterable[DID]) -> list[bytes]:
        """Make the path of each file."""
        return [hash_path(scope, name) for scope, name in dids]

    def dids(self, path: bytes) -> list[DID]:
        """Look for the two directories whose digits fit what is before and behind them."""
        found = []
        parts = path.split(b"/")
        for at in range(1, len(parts) - 2):
            if len(parts[at]) == len(parts[at + 1]) == 2 and _HEX.issuperset(parts[at] + parts[at + 1]):
                did = _scope_of(parts[:at]), b"/".join(parts[at + 2 :])
                if hash_path(*did) == path:
                    found.append(did)
        return found


class IdentityPaths:
    """Rucio's algorithm ``identity``."""

    def paths(self, dids: Iterable[DID]) -> list[bytes]:
        """Make the path of each file."""
        return [identity_path(scope, name) for scope, name in dids]

    def dids(self, path: bytes) -> list[DID]:
        """Take the first part for the scope; of users and groups it may be the first two, or any other number."""
        parts = path.split(b"/")
        cuts = (2, 1, *range(3, len(parts))) if path.startswith(DOTTED) else (1,)
        dids = [(_scope_of(parts[:at]), b"/".join(parts[at:])) for at in cuts if at < len(parts)]
        return [did for did in dids if identity_path(*did) == path]


def _scope_of(parts: Sequence[bytes]) -> bytes:
    return b".".join(parts)


@dataclass(frozen=True, slots=True)
class PathRule:
    """What matches ``pattern`` as a whole becomes ``template``, in which ``$1`` is what the first group matched.

    Before that, ``chain`` makes another name of it, if there is one; in the end ``prefix`` is put before it.
    """

    pattern: Matcher
    template: bytes
    chain: Callable[[bytes], bytes | None] | None = None
    prefix: bytes = b""

    @classmethod
    def of(
        cls,
        pattern: bytes,
        template: bytes,
        chain: Callable[[bytes], bytes | None] | None = None,
        compiled: Compile = re.compile,
    ) -> PathRule:
        """Check a rule.

        Raises:
            ValueError: the pattern is no regular expression, or has fewer groups than the template wants.
        """
        try:
            matcher = compiled(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        most = max(map(int, _GROUP.findall(template)), default=0)
        if most > matcher.groups:
            raise ValueError(f"${most} in the path, of a pattern with {matcher.groups} groups")
        return cls(matcher, template, chain)

    def apply(self, name: bytes) -> bytes | None:
        """Give what becomes of a name, None when the rule is not about it."""
        chained = name if self.chain is None else self.chain(name)
        match = None if chained is None else self.pattern.fullmatch(chained)
        if match is None:
            return None
        found = match
        return self.prefix + _GROUP.sub(lambda group: found[int(group[1])] or b"", self.template)


def first_of(rules: Sequence[PathRule], name: bytes) -> bytes | None:
    """Give what the first rule that is about a name makes of it."""
    return next((made for made in (rule.apply(name) for rule in rules) if made is not None), None)


class DIDRules:
    """Configured rules, each for ``scope:name``."""

    def __init__(self, rules: Sequence[PathRule], scope: bytes = b"") -> None:
        """Take the rules; ``scope`` is what files have of which the path is all that is known."""
        self._rules = tuple(rules)
        self._scope = scope

    def paths(self, dids: Iterable[DID]) -> list[bytes]:
        """Make the path of each file, by the first rule that matches it."""
        rules = self._rules
        return [_found(first_of(rules, b"%b:%b" % did), did) for did in dids]

    def dids(self, path: bytes) -> list[DID]:
        """See whether the path is the name as well."""
        return _same_name(self, self._scope, path)


class NameRules:
    """Rules for the name alone, as the storage descriptions of CMS have them; they make PFNs, whose path counts."""

    def __init__(self, rules: Sequence[PathRule], scope: bytes = b"cms") -> None:
        """Take the rules; ``scope`` is what files have of which the path is all that is known."""
        self._rules = tuple(rules)
        self._scope = scope

    def paths(self, dids: Iterable[DID]) -> list[bytes]:
        """Make the path of each file, by the first rule that matches its name."""
        rules = self._rules
        return [_path_of_pfn(_found(first_of(rules, did[1]), did)) for did in dids]

    def dids(self, path: bytes) -> list[DID]:
        """See whether the path is the name as well."""
        return _same_name(self, self._scope, path)


class SameNames:
    """The name is the path, as at sites that are listed by LFNs below a path prefix."""

    def __init__(self, scope: bytes = b"cms") -> None:
        """``scope`` is what files have of which the path is all that is known."""
        self._scope = scope

    def paths(self, dids: Iterable[DID]) -> list[bytes]:
        """Take the names."""
        return [name for _, name in dids]

    def dids(self, path: bytes) -> list[DID]:
        """Take the path."""
        return [(self._scope, path)] if self._scope else []


def _found(made: bytes | None, did: DID) -> bytes:
    if made is None:
        raise NoPath((b"%b:%b" % did).decode(errors="surrogateescape"))
    return made


def _same_name(made_by: Lfn2Path, scope: bytes, path: bytes) -> list[DID]:
    try:
        return [(scope, path)] if scope and made_by.paths([(scope, path)]) == [path] else []
    except NoPath:
        return []


def _path_of_pfn(pfn: bytes) -> bytes:
    """Leave out what is no path in the name space of the store."""
    match = _URL.fullmatch(pfn)
    path = pfn if match is None else match[1]
    before, sfn, behind = path.partition(_SFN)
    return re.sub(rb"/{2,}", b"/", behind if sfn else before)


def storage_rules(
    description: Any, *, rse: str = "", volume: str = "", protocol: str = "", compiled: Compile = re.compile
) -> list[PathRule]:
    """Read the rules of one protocol of a volume out of a storage description of CMS, as JSON gives it.

    What is not named may be anything, but then there must be one that fits, and of protocols the first counts.

    Raises:
        ValueError: it is no storage description, or has none, or several, of what is asked for.
    """
    if not isinstance(description, list) or not all(isinstance(entry, Mapping) for entry in description):
        raise ValueError("not a storage description: expected a list of volumes")
    wanted = {"rse": rse, "volume": volume}
    fitting = [
        entry for entry in description if all(not text or entry.get(key) == text for key, text in wanted.items())
    ]
    asked = ", ".join(f"{key} {text}" for key, text in wanted.items() if text) or "any volume"
    if len(fitting) != 1:
        names = ", ".join(f"{entry.get('volume')} (RSE {entry.get('rse')})" for entry in description) or "nothing"
        raise ValueError(f"{len(fitting)} volumes fit {asked}; it has {names}")
    protocols = fitting[0].get("protocols")
    if not isinstance(protocols, list) or not all(isinstance(each, Mapping) for each in protocols):
        raise ValueError(f"{asked}: expected a list of protocols")
    own = [each for each in protocols if not protocol or each.get("protocol") == protocol]
    if not own:
        known = ", ".join(str(each.get("protocol")) for each in protocols) or "none"
        raise ValueError(f"{asked}: no protocol {protocol or 'at all'}; it has {known}")
    return _rules_of(own[0], protocols, (), {}, compiled)


def _rules_of(
    entry: Mapping[str, Any],
    protocols: Sequence[Mapping[str, Any]],
    above: tuple[str, ...],
    chains: _Chains,
    compiled: Compile,
) -> list[PathRule]:
    """Read the rules of a protocol; ``above`` are those chained to it, and ``chains`` has what was read already."""
    name = str(entry.get("protocol"))
    if name in above or len(above) > _LONGEST_CHAIN:
        raise ValueError(f"protocol {name} is chained to itself")
    prefix, rules = entry.get("prefix"), entry.get("rules")
    if isinstance(prefix, str):
        # In a prefix a $ is a $.
        return [PathRule(re.compile(rb"/?(.*)", re.DOTALL), b"$1", prefix=_bytes(prefix.rstrip("/")) + b"/")]
    if not isinstance(rules, list) or not all(isinstance(rule, Mapping) for rule in rules):
        raise ValueError(f"protocol {name}: expected a prefix, or a list of rules")
    found = []
    for number, rule in enumerate(rules, 1):
        pattern, template = rule.get("lfn"), rule.get("pfn")
        if not isinstance(pattern, str) or not isinstance(template, str):
            raise ValueError(f"protocol {name}: rule {number} has no lfn or no pfn")
        chained = _chained(rule.get("chain"), protocols, (*above, name), chains, compiled)
        try:
            found.append(PathRule.of(_bytes(pattern), _bytes(template), chained, compiled))
        except ValueError as error:
            raise ValueError(f"protocol {name}: rule {number}, {pattern}: {error}") from error
    return found


def _chained(
    chain: object,
    protocols: Sequence[Mapping[str, Any]],
    above: tuple[str, ...],
    chains: _Chains,
    compiled: Compile,
) -> Callable[[bytes], bytes | None] | None:
    if chain in (None, ""):
        return None
    if str(chain) in chains and chain not in above:
        return chains[str(chain)]
    entry = next((each for each in protocols if each.get("protocol") == chain), None)
    if entry is None:
        raise ValueError(f"protocol {above[-1]} is chained to {chain}, which there is not")
    rules = _rules_of(entry, protocols, above, chains, compiled)
    # All rules that are chained to one protocol ask for the same name, one after the other.
    made = chains[str(chain)] = lru_cache(maxsize=1)(lambda name: first_of(rules, name))
    return made


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def lfn2path(algorithm: str, rules: Sequence[PathRule] = (), scope: str = "") -> Lfn2Path:
    """Choose who makes the paths: ``hash``, ``identity``, ``name``, or with rules ``did`` and ``storage.json``.

    Raises:
        ValueError: no algorithm has this name.
    """
    own = _bytes(scope)
    match algorithm:
        case "hash":
            return HashPaths()
        case "identity":
            return IdentityPaths()
        case "name":
            return SameNames(own)
        case "did":
            return DIDRules(rules, own)
        case "storage.json":
            return NameRules(rules, own)
    raise ValueError(f"no algorithm {algorithm}; known: hash, identity, name, did, storage.json")
