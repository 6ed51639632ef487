"""Frames: pieces of a file that grows, each with its kind, its length and a checksum, so that a torn one is told."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

from storage.file_bytes import FileBytes

_HEAD = struct.Struct("<BII")

FRAME_HEAD = _HEAD.size
"""Bytes of a frame before its payload."""


def make_frame(kind: int, payload: bytes) -> bytes:
    """Put kind, length and checksum before a payload."""
    return _HEAD.pack(kind, len(payload), zlib.crc32(payload, kind)) + payload


def read_frame(view: FileBytes, offset: int, expected: int, guess: int = 0) -> tuple[int, memoryview]:
    """Give the offset behind a frame and its payload.

    ``guess`` is how long the frame may be, header included: when that is right, it is read in one go.

    Raises:
        ValueError: there is none, it is not whole, or of another kind.
    """
    frame = view.read(offset, max(guess, _HEAD.size)) if offset >= 0 else b""
    if len(frame) < _HEAD.size:
        raise ValueError(f"no frame at byte {offset}")
    kind, length, checksum = _HEAD.unpack_from(frame)
    end = _HEAD.size + length
    if len(frame) < end:
        frame = view.read(offset, end)
    payload = memoryview(frame)[_HEAD.size : end]
    if kind != expected or len(payload) != length or zlib.crc32(payload, kind) != checksum:
        raise ValueError(f"the frame at byte {offset} does not match its checksum")
    return offset + end, payload


def check_frames(frames: bytes, lengths: Iterable[int], expected: int) -> None:
    """Make sure that frames of these lengths stand one behind the other, as they were made.

    Raises:
        ValueError: one does not match its checksum, or is of another kind.
    """
    view = memoryview(frames)
    start = 0
    for frame_length in lengths:
        payload = view[start + _HEAD.size : start + frame_length]
        if view[start : start + _HEAD.size] != _HEAD.pack(expected, len(payload), zlib.crc32(payload, expected)):
            raise ValueError(f"the frame at byte {start} does not match its checksum")
        start += frame_length
    if start != len(frames):
        raise ValueError("other frames than there should be")
