"""Deleting keys of an S3 store. It has no directories, and cannot move anything."""

from __future__ import annotations

import time

from engine.listing import Failed
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.s3_client import S3Client
from storage.removers.protocol import FOR_US

_CANNOT_MOVE = Failed(Reason.SERVER, "an S3 store cannot move anything")


class S3Remover:
    """See `storage.removers.protocol.Remover`; ``timeout`` is in seconds for each request."""

    def __init__(self, door: Door, timeout: float) -> None:
        self._door = door
        self._timeout = timeout
        self._client = S3Client(door, timeout)

    def move(self, path: bytes, to: bytes) -> Failed | None:
        """Fail: there is no such request."""
        return _CANNOT_MOVE

    def make_directory(self, path: bytes, mode: int = FOR_US) -> Failed | None:
        """Do nothing: a key needs none."""
        return None

    def mode_of(self, path: bytes) -> int | None:
        """See `storage.removers.protocol.Remover`."""
        return None

    def remove(self, path: bytes) -> Failed | None:
        """Delete one key; where the bucket keeps versions, those before stay."""
        bucket, _, key = self._door.locate(path)[1:].partition(b"/")
        try:
            names = {"Bucket": bucket.decode("ascii"), "Key": key.decode("utf-8")}
        except UnicodeDecodeError:
            return Failed(Reason.BAD_NAME, "not UTF-8, which all keys are")
        deadline = time.monotonic() + self._timeout
        answer = self._client.ask(lambda client: client.delete_object(**names), deadline)
        return answer if isinstance(answer, Failed) else None

    def remove_directory(self, path: bytes) -> Failed | None:
        """Fail: there is none."""
        return Failed(Reason.SERVER, "an S3 store has no directories")

    def link(self, path: bytes, near: bytes) -> Failed | None:
        """There is none."""
        return None

    def close(self) -> None:
        """Hold nothing."""
