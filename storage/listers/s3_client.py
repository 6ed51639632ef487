"""The client of S3 that all threads of a lister share, and what its errors mean.

botocore finds the credentials where all programs that use S3 look for them: in the environment, in the files that it
names or the usual ones, or given by the machine. Without any, questions are asked unsigned.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from engine.listing import Failed
from engine.states import Reason
from storage.listers.doors import Door
from storage.listers.s3_sending import NoAnswer, Sending
from storage.quiet import no_debugging

SCHEMES = {"s3": "https", "s3+http": "http"}
"""What each scheme of a door goes over."""

_CONNECT_SECONDS = 10.0
"""Seconds in which a server has to let us in; less where a request may not take so long."""

_LONGEST = 200
"""Characters of what a server says that are said again."""

_TLS = "TLS: "
"""How the detail of a failure begins that has to do with certificates."""

_NOT_YET: Any = object()
"""Stands for the credentials as long as nobody has looked for them."""

_EVERY = 5.0
"""Seconds after which it is looked again whether credentials that are refused were replaced."""

_MOST_CONNECTIONS = 1000
_USUAL_REGION = "us-east-1"

_LATER = frozenset(("SlowDown", "ServiceUnavailable", "Throttling", "RequestLimitExceeded", "503", "429"))
_NOBODY = frozenset(
    (
        *("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"),
        *("RequestTimeTooSkewed", "AuthorizationHeaderMalformed", "InvalidClientTokenId", "401"),
    )
)
_TOO_LONG = "KeyTooLongError"
_NO_BUCKET = "NoSuchBucket"


def seconds_of(text: str) -> int:
    """Read a time as lists of keys have it, or as headers do, in seconds since the epoch.

    Raises:
        ValueError: it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = parsedate_to_datetime(text)
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() // 1)


class S3Client:
    """Asks the server of a door. It is made when it is first needed: making it reads files, and takes half a second.

    ``plus_is_blank`` is how the server writes blanks in keys, as soon as somebody has found out.
    """

    def __init__(self, door: Door, timeout: float) -> None:
        self._door = door
        self._timeout = timeout
        self._lock = threading.Lock()
        self._client: Any = None
        self._sending: Sending | None = None
        self._signs_by = ""
        # Access key, secret and token that questions are signed with; None without any.
        self._keys: Any = _NOT_YET
        self._looked_at = float("-inf")
        self.plus_is_blank: bool | None = None

    def ask(self, question: Callable[[Any], Any], deadline: float) -> Any:
        """Put a question to the client; gives what it answers by ``deadline``, of ``time.monotonic``, or `Failed`."""
        used = self._keys
        answer = self._answer(question, deadline)
        if isinstance(answer, Failed) and answer.reason == Reason.AUTHENTICATION and self._is_renewed(used):
            return self._answer(question, deadline)
        return answer

    def _answer(self, question: Callable[[Any], Any], deadline: float) -> Any:
        from botocore import exceptions

        try:
            client, sending = self._made()
            sending.until(deadline)
            return question(client)
        except NoAnswer as error:
            return Failed(Reason.SERVER, str(error))
        except exceptions.ClientError as error:
            return self.refused(_said(error.response, self._keys.token if self._keys else ""))
        except (exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError):
            return self.refused(Failed(Reason.TIMEOUT, f"no answer within {self._timeout:g} s"))
        except exceptions.SSLError as error:
            return self.refused(Failed(Reason.AUTHENTICATION, f"{_TLS}{_one_line(error.kwargs['error'])}"))
        except (exceptions.HTTPClientError, exceptions.ConnectionError, exceptions.IncompleteReadError) as error:
            return self.refused(Failed(Reason.CONNECTION, _one_line(error)))
        except exceptions.ResponseStreamingError as error:
            return self.refused(Failed(Reason.CONNECTION, _one_line(error)))
        except exceptions.ParamValidationError as error:
            return Failed(Reason.BAD_NAME, _one_line(error))
        except exceptions.BotoCoreError as error:
            if isinstance(error, _parsing_errors()):
                return Failed(Reason.PARTIAL, f"an answer that cannot be read: {_one_line(error)}")
            # What is left has to do with credentials and the files that they are in.
            return self.refused(Failed(Reason.AUTHENTICATION, _one_line(error)))
        except _parsing_errors() as error:
            return Failed(Reason.PARTIAL, f"an answer that cannot be read: {_one_line(error)}")
        except OSError as error:
            return self.refused(Failed(Reason.CONNECTION, f"{type(error).__name__}: {_one_line(error)}"))
        except (LookupError, ValueError, TypeError) as error:
            return Failed(Reason.PARTIAL, f"an answer that cannot be read: {type(error).__name__}: {_one_line(error)}")

    def refused(self, failed: Failed) -> Failed:
        """Add to a failure that is the door's own which one that was, and what there was to be refused."""
        if failed.reason not in (Reason.AUTHENTICATION, Reason.CONNECTION, Reason.TIMEOUT):
            return failed
        said = f"{failed.reason.label} at {self._door.host}: {failed.detail}"
        if failed.reason == Reason.AUTHENTICATION:
            hint = f"credentials by {self._signs_by}" if self._signs_by else _NO_CREDENTIALS
            if failed.detail.startswith(_TLS):
                hint = f"the door's certificate was held against the authorities {_named_authorities()}"
            said = f"{said} ({hint})"
        return Failed(failed.reason, said)

    def _made(self) -> tuple[Any, Sending]:
        with self._lock:
            if self._client is None or self._sending is None:
                try:
                    self._client = self._make()
                except ValueError as error:
                    raise NoAnswer(f"the door cannot be used: {_one_line(error)}") from error
                self._sending = Sending(self._client._endpoint.http_session)
                self._client.meta.events.register("before-send.s3", self._sending)
            return self._client, self._sending

    def _is_renewed(self, used: Any) -> bool:
        """Tell whether there are other credentials than those that were refused, which are used from then on."""
        from botocore import exceptions
        from botocore.session import Session

        with self._lock:
            if used is not _NOT_YET and self._keys != used:
                # Somebody else has found them.
                return True
            now = time.monotonic()
            if now < self._looked_at + _EVERY:
                return False
            self._looked_at = now
            try:
                found = _frozen(Session().get_credentials())
            except exceptions.BotoCoreError:
                return False
            if found == self._keys:
                return False
            self._client = None
            return True

    def _make(self) -> Any:
        from botocore import UNSIGNED
        from botocore.config import Config
        from botocore.session import Session

        # What it says besides of each request has tokens in it.
        no_debugging("botocore")
        session = Session()
        # Its own parser of times takes longer than all else that is done for a key.
        session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=seconds_of)
        credentials = session.get_credentials()
        self._signs_by = "" if credentials is None else str(credentials.method)
        self._keys = _frozen(credentials)
        return session.create_client(
            "s3",
            endpoint_url=f"{SCHEMES[self._door.scheme]}://{self._door.host}",
            region_name=session.get_config_variable("region") or _USUAL_REGION,
            verify=_authorities(),
            config=Config(
                signature_version=UNSIGNED if credentials is None else "s3v4",
                s3={"addressing_style": "path"},
                retries={"total_max_attempts": 1},
                connect_timeout=min(self._timeout, _CONNECT_SECONDS),
                read_timeout=self._timeout,
                max_pool_connections=_MOST_CONNECTIONS,
                user_agent="dynamo-consistency",
            ),
        )


_NO_CREDENTIALS = (
    "no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SHARED_CREDENTIALS_FILE"
)


def trusted(environment: Mapping[str, str]) -> str:
    """Give the file of authorities that a door's certificate is held against."""
    from botocore.httpsession import where

    return environment.get("AWS_CA_BUNDLE") or environment.get("X509_CERT_FILE") or str(where())


def _authorities() -> str | None:
    """Give a file of authorities besides those that botocore finds; None to leave it to that."""
    return None if os.environ.get("AWS_CA_BUNDLE") else os.environ.get("X509_CERT_FILE") or None


def _named_authorities() -> str:
    named = next((name for name in ("AWS_CA_BUNDLE", "X509_CERT_FILE") if os.environ.get(name)), "")
    return f"of {named}" if named else "that come with botocore; AWS_CA_BUNDLE names others"


def _parsing_errors() -> tuple[type[Exception], ...]:
    from botocore.parsers import ResponseParserError

    return (ResponseParserError,)


def _frozen(credentials: Any) -> Any:
    return None if credentials is None else credentials.get_frozen_credentials()


def _said(response: dict[str, Any], token: str | None) -> Failed:
    """Put what a server said into a reason and one line; it may say what was shown to it, such as the ``token``."""
    error = response.get("Error", {})
    code, words = (_printable(str(error.get(part, "")), token) for part in ("Code", "Message"))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    said = f"{status} {code}: {words}"
    if code == _NO_BUCKET:
        # Not a path that is not there: nothing of the store is known.
        return Failed(Reason.SERVER, said)
    if code in _LATER or status in (429, 503):
        return Failed(Reason.TIMEOUT, f"the server has too much to do: {said}")
    if code in _NOBODY or status == 401:
        return Failed(Reason.AUTHENTICATION, said)
    if status == 403:
        return Failed(Reason.PERMISSION, said)
    if status == 404:
        return Failed(Reason.NOT_FOUND, said)
    return Failed(Reason.BAD_NAME if code == _TOO_LONG else Reason.SERVER, said)


def _one_line(error: BaseException) -> str:
    return _printable(str(error)) or type(error).__name__


def _printable(text: str, token: str | None = None) -> str:
    words = " ".join((text.replace(token, "...") if token else text).split())
    return "".join([c if c.isprintable() else " " for c in words])[:_LONGEST]
