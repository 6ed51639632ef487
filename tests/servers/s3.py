"""An S3 store on a free port of the loopback interface: moto's server, in this process."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpcore
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "lister", "AWS_SECRET_ACCESS_KEY": "of-tests", "AWS_EC2_METADATA_DISABLED": "true"}
"""What a client needs to be somebody; anybody will do."""


class S3Server:
    """Holds buckets. Use it as a context manager."""

    def __init__(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.port = 0

    def __enter__(self) -> S3Server:
        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        self._server.start()
        self.port = self._server.get_host_and_port()[1]
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.stop()

    @property
    def url(self) -> str:
        """The door, without a bucket."""
        return f"s3+http://localhost:{self.port}"

    def make_bucket(self, bucket: str) -> None:
        """Make an empty bucket."""
        self._put(f"/{bucket}")

    def put(self, bucket: str, key: bytes, size: int = 0, mtime: int = 0) -> None:
        """Put a key; no byte of it is written."""
        name = key.decode()
        self._put(f"/{bucket}/{quote(name)}")
        kept = self._keys(bucket)[name]
        kept.last_modified = datetime.fromtimestamp(mtime, UTC).replace(tzinfo=None)
        kept._value_buffer.rollover()
        kept._value_buffer.truncate(size)
        kept.contentsize = size

    def remove(self, bucket: str, key: bytes) -> None:
        """Remove a key."""
        del self._keys(bucket)[key.decode()]

    def mirror(self, top: Path, bucket: str) -> None:
        """Put all files below a directory, with their sizes and times."""
        start = os.fsencode(top)
        for directory, _, names in os.walk(start):
            for name in names:
                found = os.stat(path := os.path.join(directory, name))
                self.put(bucket, path[len(start) + 1 :], found.st_size, int(found.st_mtime))

    def _put(self, path: str) -> None:
        answer = httpcore.request("PUT", f"http://127.0.0.1:{self.port}{path}", headers={"Host": "localhost"})
        assert answer.status == 200, (path, answer.status, answer.content)

    def _keys(self, bucket: str) -> Any:
        return s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[bucket].keys
