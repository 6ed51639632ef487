from __future__ import annotations

import struct
from collections.abc import Mapping
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.states import Reason
from storage.listers.wire import protocol
from storage.listers.wire.protocol import Answer, ProtocolError, Status
from storage.listers.wire.session import Event, Ready, Refused, Session, StartTLS, Unspoken
from tests.servers.credentials import Issuer
from tests.servers.scripted_xrootd import GREETING, LOGGED_IN, NOTHING_SPECIAL, error, frame

GO_TLS = struct.pack(">iI", 0x511, 0x40000001)
TLS_AFTERWARDS = struct.pack(">iI", 0x511, 0x08000001)
TOKENS = bytes(16) + b"&P=ztn,0:4096:\0"
TOKEN = {"BEARER_TOKEN": Issuer().token()}


def begun(wants_tls: bool = False, environment: Mapping[str, str] | None = None) -> Session:
    session = Session("me", wants_tls, lambda: environment or {})
    session.outgoing.clear()
    return session


def hear(session: Session, *bodies: bytes) -> list[Event]:
    return session.receive(b"".join([frame(0, Status.OK, body) for body in bodies]))


def ready() -> Session:
    session = begun()
    assert hear(session, GREETING, NOTHING_SPECIAL, LOGGED_IN) == [Ready()]
    session.outgoing.clear()
    return session


def test_a_login_needs_nothing_else() -> None:
    session = begun()
    assert hear(session, GREETING, NOTHING_SPECIAL) == []
    assert bytes(session.outgoing[2:4]) == struct.pack(">H", protocol.Code.LOGIN)
    assert not session.is_ready
    assert hear(session, LOGGED_IN) == [Ready()]
    assert session.is_ready


def test_encryption_comes_before_the_login() -> None:
    session = begun()
    assert hear(session, GREETING, GO_TLS) == [StartTLS()]
    assert not session.outgoing
    assert session.encrypted() == []
    assert session.outgoing
    assert hear(session, LOGGED_IN) == [Ready()]


def test_encryption_may_come_after_the_login_and_before_a_token() -> None:
    session = begun(environment=TOKEN)
    assert hear(session, GREETING, TLS_AFTERWARDS, TOKENS) == [StartTLS()]
    session.outgoing.clear()
    assert session.encrypted() == []
    assert TOKEN["BEARER_TOKEN"].encode() in session.outgoing
    assert hear(session, b"") == [Ready()]


def test_a_token_is_never_sent_in_the_clear() -> None:
    session = begun(environment=TOKEN)
    (event,) = hear(session, GREETING, NOTHING_SPECIAL, TOKENS)
    assert isinstance(event, Unspoken)
    assert TOKEN["BEARER_TOKEN"].encode() not in session.outgoing


def test_nothing_that_was_said_in_the_clear_counts_later() -> None:
    session = begun()
    assert session.receive(frame(0, 0, GREETING) + frame(0, 0, GO_TLS) + frame(0, 0, LOGGED_IN)[:9]) == [StartTLS()]
    with pytest.raises(ProtocolError, match="between"):
        session.encrypted()
    session = begun()
    with pytest.raises(ProtocolError, match="while"):
        hear(session, GREETING, GO_TLS, LOGGED_IN)


def test_a_server_that_does_not_encrypt_is_refused_where_it_should() -> None:
    (event,) = hear(begun(wants_tls=True), GREETING, NOTHING_SPECIAL)
    assert isinstance(event, Refused)
    assert event.reason == Reason.AUTHENTICATION


def encrypted(environment: Mapping[str, str], login: bytes) -> tuple[Session, list[Event]]:
    session = begun(environment=environment)
    hear(session, GREETING, GO_TLS)
    session.encrypted()
    return session, hear(session, login)


def test_a_refused_token_is_the_end_where_there_is_nothing_else() -> None:
    session, events = encrypted(TOKEN, TOKENS)
    assert events == []
    (event,) = session.receive(error(0, 3030, b"no"))
    assert event == Refused(Reason.AUTHENTICATION, "[3030] no")


@pytest.mark.parametrize("environment", [TOKEN, {}], ids=["refused", "none"])
def test_where_there_is_something_else_another_client_may_try(environment: Mapping[str, str]) -> None:
    session, events = encrypted({"XDG_RUNTIME_DIR": "/nowhere", **environment}, TOKENS[:-1] + b"&P=gsi,v:1\0")
    if environment:
        events = session.receive(error(0, 3030, b"no"))
    (event,) = events
    assert isinstance(event, Unspoken)


@pytest.mark.parametrize(
    ("chosen", "is_spoken"), [("ztn", True), ("ztn,gsi", True), ("gsi,ztn", False), ("sss", False)]
)
def test_the_protocol_that_somebody_chose_is_kept_to(chosen: str, is_spoken: bool) -> None:
    _, events = encrypted({**TOKEN, "XrdSecPROTOCOL": chosen}, TOKENS)
    assert (events == []) == is_spoken


def test_more_rounds_are_not_spoken() -> None:
    session, _ = encrypted(TOKEN, TOKENS)
    (event,) = session.receive(frame(0, Status.MORE_CREDENTIALS, b"more"))
    assert isinstance(event, Unspoken)


def test_a_server_that_refuses_at_once_is_refused() -> None:
    session = begun()
    (event,) = session.receive(frame(0, 0, GREETING) + error(0, 3006, b"too many"))
    assert isinstance(event, Refused)
    assert event.reason == Reason.CONNECTION


def test_answers_belong_to_questions() -> None:
    session = ready()
    first, second = session.stream(), session.stream()
    assert (first, second) == (1, 2)
    sent = frame(2, Status.OK_SO_FAR, b"a") + frame(1, Status.WAIT_FOR_ANSWER, bytes(4)) + frame(2, Status.OK, b"b")
    assert session.receive(sent) == [Answer(2, 4000, b"a"), Answer(2, 0, b"b")]
    assert session.receive(frame(1, Status.ERROR, b"c")) == [Answer(1, 4003, b"c")]
    with pytest.raises(ProtocolError, match="nobody"):
        session.receive(frame(1, Status.OK))


def test_a_number_is_not_used_again_before_its_answer_came() -> None:
    session = ready()
    first = session.stream()
    assert first == 1
    session.drop(first)
    given = [session.stream() for _ in range(65_534)]
    assert first not in given
    assert None not in given
    assert session.stream() is None
    assert session.receive(frame(first, Status.OK_SO_FAR, b"x" * 10)) == []
    assert session.dropped == 1
    assert session.receive(frame(first, Status.OK)) == []
    assert (session.dropped, session.stream()) == (0, first)


def test_parts_with_nothing_in_them_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LARGEST_ANSWER", 1 << 12)
    session = ready()
    session.stream()
    with pytest.raises(ProtocolError, match="without an end"):
        session.receive(frame(1, Status.OK_SO_FAR) * 1000)


def test_a_server_that_lets_nobody_in_is_not_listened_to_without_end() -> None:
    session = begun()
    with pytest.raises(ProtocolError, match="without an end"):
        session.receive(struct.pack(">HHi", 0, 0, protocol.LARGEST_ANSWER) + bytes(2 << 20))


_PIECES = st.sampled_from(
    [
        frame(0, 0, GREETING),
        frame(0, 0, NOTHING_SPECIAL),
        frame(0, 0, GO_TLS),
        frame(0, 0, TLS_AFTERWARDS),
        frame(0, 0, NOTHING_SPECIAL + b"S\0\0\0\x04\0"),
        frame(0, 0, LOGGED_IN),
        frame(0, 0, TOKENS),
        frame(0, 0),
        error(0, 3010, b"no"),
        frame(0, Status.WAIT, bytes(4)),
        frame(0, Status.REDIRECT, struct.pack(">i", 1) + b"a"),
        frame(1, Status.OK, b"x"),
        frame(1, Status.OK_SO_FAR, b"x"),
    ]
) | st.binary(max_size=30)


@given(st.lists(_PIECES, max_size=8), st.booleans(), st.booleans())
def test_whatever_a_server_says_there_is_no_other_end_than_these(
    pieces: list[bytes], wants_tls: bool, has_token: bool
) -> None:
    session = begun(wants_tls, TOKEN if has_token else {"XDG_RUNTIME_DIR": "/nowhere"})
    is_encrypted = False
    with suppress(ProtocolError):
        for piece in pieces:
            events = session.receive(piece)
            assert all(isinstance(event, Answer | Ready | Refused | Unspoken | StartTLS) for event in events)
            if StartTLS() in events:
                is_encrypted = True
                session.encrypted()
            if session.is_ready:
                session.stream()
                assert is_encrypted or not wants_tls
            if not is_encrypted:
                assert TOKEN["BEARER_TOKEN"].encode() not in session.outgoing
