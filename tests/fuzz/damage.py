"""Damage to bytes, from small to large: what disks, networks, editors and other programs do to files."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

Damage = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def damaged(chance: random.Random, data: bytes, others: Sequence[bytes], tokens: Sequence[bytes] = ()) -> bytes:
    """Damage ``data`` once or some times; ``others`` are spliced in, ``tokens`` are what its format cares about."""
    for _ in range(chance.choice((1, 1, 1, 2, 4, 8))):
        if tokens and chance.random() < 0.5:
            data = _token(chance, data, tokens)
        else:
            data = chance.choice(_KINDS)(chance, data, others)
    return data


def _token(chance: random.Random, data: bytes, tokens: Sequence[bytes]) -> bytes:
    start, end = _range(chance, data) if chance.random() < 0.3 else (chance.randint(0, len(data)),) * 2
    return data[:start] + chance.choice(tokens) + data[end:]


def _range(chance: random.Random, data: bytes) -> tuple[int, int]:
    start = chance.randint(0, len(data))
    longest = chance.choice((1, 4, 16, len(data)))
    return start, min(len(data), start + chance.randint(0, longest))


def _flip(chance: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = chance.randrange(len(data))
    return data[:at] + bytes((data[at] ^ 1 << chance.randrange(8),)) + data[at + 1 :]


def _set(chance: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = chance.randrange(len(data))
    return data[:at] + bytes((chance.choice((0, 0xFF, 0x0A, 0x80, chance.randrange(256))),)) + data[at + 1 :]


def _cut_off(chance: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    return data[: chance.randint(0, len(data))]


def _cut_out(chance: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    start, end = _range(chance, data)
    return data[:start] + data[end:]


def _repeat(chance: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    start, end = _range(chance, data)
    return data[:end] + data[start:end] + data[end:]


def _insert(chance: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    at = chance.randint(0, len(data))
    return data[:at] + chance.randbytes(chance.choice((1, 3, 8, 40))) + data[at:]


def _blank_out(chance: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    start, end = _range(chance, data)
    return data[:start] + bytes(end - start) + data[end:]


def _append(chance: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data + chance.choice((bytes(64), b"\xff" * 16, chance.choice(others), chance.randbytes(20)))


def _splice(chance: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = chance.choice(others)
    start, end = _range(chance, other)
    at = chance.choice((start, chance.randint(0, len(data))))
    behind = at + (end - start if chance.random() < 0.5 else 0)
    return data[:at] + other[start:end] + data[behind:]


def _graft(chance: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = chance.choice(others)
    return data[: chance.randint(0, len(data))] + other[chance.randint(0, len(other)) :]


_KINDS: tuple[Damage, ...] = (
    _flip,
    _flip,
    _set,
    _cut_off,
    _cut_out,
    _repeat,
    _insert,
    _blank_out,
    _append,
    _splice,
    _graft,
)
