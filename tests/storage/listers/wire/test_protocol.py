from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.listers.wire import protocol
from storage.listers.wire.protocol import LARGEST_ANSWER, Answer, Offer, ProtocolError, Reader, Status, Want
from tests.servers.scripted_xrootd import frame, late


def test_requests_are_24_bytes_and_what_they_carry() -> None:
    assert (
        protocol.dirlist(0x102, b"/store", True).hex() == "01020bbc" + "00" * 15 + "02" + "00000006" + b"/store".hex()
    )
    assert protocol.dirlist(1, b"/", False).hex() == "00010bbc" + "00" * 16 + "00000001" + "2f"
    assert protocol.stat(1, b"/\xff").hex() == "00010bc9" + "00" * 16 + "00000002" + "2fff"
    assert (
        protocol.login(b"somebody else", 7).hex() == "00000bbf" + "00000007" + b"somebody".hex() + "00000500" + "00" * 4
    )


def test_a_conversation_is_opened_by_a_handshake_and_a_question() -> None:
    opening = protocol.hello(Want.SECURITY | Want.CAN_TLS)
    assert opening[:20].hex() == "00" * 15 + "04" + "000007dc"
    assert opening[20:].hex() == "00000bbe" + "00000520" + "03" + "03" + "00" * 10 + "00" * 4


def test_a_token_is_handed_in_with_its_length() -> None:
    sent = protocol.token_credentials(b"a.b.c")
    assert sent.hex() == "00000bb8" + "00" * 12 + b"ztn\0".hex() + "00000010" + b"ztn\0".hex() + "0054" + "00000006" + (
        b"a.b.c\0".hex()
    )
    with pytest.raises(ValueError, match="too long"):
        protocol.token_credentials(b"x" * 70_000)


@pytest.mark.parametrize(
    ("body", "offered", "is_signed"),
    [
        (struct.pack(">iI", 0x511, 1), Offer(0), False),
        (struct.pack(">iI", 0x511, 0x40000001), Offer.GO_TLS, False),
        (struct.pack(">iI", 0x511, 0x8C000001), Offer.TLS_LOGIN | Offer.TLS_SESSION, False),
        (struct.pack(">iI", 0x511, 1) + b"S\0\0\0\x02\0", Offer(0), False),
        (struct.pack(">iI", 0x511, 1) + b"S\0\0\0\x03\0", Offer(0), True),
        (struct.pack(">iI", 0x511, 1) + b"S\0\0\0\x01\x02\x01\x01\x04\x02", Offer(0), True),
        (struct.pack(">iI", 0x511, 1) + b"S\0\0\0\x01\x02\x01\x01\x04\0", Offer(0), False),
        (struct.pack(">iI", 0x511, 1) + b"S\0\0\0\x01\xff\x04", Offer(0), False),
    ],
)
def test_a_server_says_what_it_wants(body: bytes, offered: Offer, is_signed: bool) -> None:
    assert protocol.offer(body) == (offered, is_signed)


def test_methods_are_in_the_order_of_the_server() -> None:
    assert protocol.methods(bytes(16)) == ()
    assert protocol.methods(bytes(16) + b"&P=gsi,v:10400,c:ssl&P=ztn,0:4096:\0") == (b"gsi", b"ztn")


def test_an_error_is_one_line_of_what_was_said() -> None:
    assert protocol.error(struct.pack(">i", 3011) + b"no such\nfile\0rest") == (3011, "no such file")
    assert protocol.error(struct.pack(">i", -1) + b"\x1b[31m\xff" * 1000)[1].isprintable()
    assert len(protocol.error(struct.pack(">i", 1) + b"x" * 10**6)[1]) <= 500


def test_a_redirection_names_a_host() -> None:
    assert protocol.redirection(struct.pack(">i", 1094) + b"a.b\0") == ("a.b", 1094, b"")
    assert protocol.redirection(struct.pack(">i", 1) + b"[::1]?x=1&y=2?token") == ("::1", 1, b"x=1&y=2")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        struct.pack(">i", 1094),
        struct.pack(">i", 0) + b"a",
        struct.pack(">i", 70000) + b"a",
        struct.pack(">i", -1) + b"root://a//b",
        struct.pack(">i", 1094) + b"?x",
        struct.pack(">i", 1094) + b"a b",
        struct.pack(">i", 1094) + b"user@a",
        struct.pack(">i", 1094) + b"a\nb",
        struct.pack(">i", 1094) + "ä".encode(),
    ],
)
def test_a_redirection_to_nowhere_is_not_followed(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        protocol.redirection(body)


@pytest.mark.parametrize("read", [protocol.offer, protocol.methods, protocol.error, protocol.pause])
@pytest.mark.parametrize("body", [b"", b"ab"])
def test_what_is_too_short_is_no_answer(read: object, body: bytes) -> None:
    assert callable(read)
    with pytest.raises(ProtocolError):
        read(body)


def test_a_pause_is_never_negative() -> None:
    assert [protocol.pause(struct.pack(">i", seconds)) for seconds in (5, 0, -5)] == [5, 0, 0]


def test_answers_are_cut_out_of_what_comes() -> None:
    reader = Reader()
    sent = frame(1, Status.OK, b"abc") + frame(2, Status.OK_SO_FAR) + late(3, Status.OK, b"d") + frame(4, Status.WAIT)
    found = [answer for at in range(len(sent)) for answer in reader.feed(sent[at : at + 1])]
    assert found == [Answer(1, 0, b"abc"), Answer(2, 4000, b""), Answer(3, 0, b"d"), Answer(4, 4005, b"")]
    assert Reader().feed(sent) == found
    assert len(reader) == 0


def test_what_a_server_only_mentions_is_passed_over() -> None:
    assert Reader().feed(frame(0, Status.ATTENTION, struct.pack(">i", 5002) + b"hello")) == []
    assert Reader().feed(frame(0, Status.ATTENTION)) == []


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        struct.pack(">HHi", 1, 0, -1),
        struct.pack(">HHi", 1, 0, LARGEST_ANSWER + 1),
        struct.pack(">HHi", 1, 7, 0),
        struct.pack(">HHi", 1, 4007, 24),
        frame(0, Status.ATTENTION, struct.pack(">i4x", 5008) + b"abc"),
        frame(0, Status.ATTENTION, struct.pack(">i4x", 5008) + struct.pack(">HHi", 1, 0, 5)),
        late(1, Status.ATTENTION),
    ],
)
def test_what_is_not_the_protocol_is_noticed(sent: bytes) -> None:
    with pytest.raises(ProtocolError):
        Reader().feed(sent)


@given(st.lists(st.binary(max_size=40)))
def test_whatever_comes_is_answers_or_an_error(pieces: list[bytes]) -> None:
    reader = Reader()
    held = 0
    try:
        for piece in pieces:
            held += len(piece)
            answers = reader.feed(piece)
            assert all(isinstance(answer, Answer) for answer in answers)
            # No byte is made up.
            assert len(reader) + sum(len(answer.body) for answer in answers) <= held
    except ProtocolError:
        pass


_FRAMES = st.tuples(st.integers(0, 65535), st.sampled_from([0, 4000, 4003, 4004, 4005, 4006]), st.binary(max_size=30))


@given(st.lists(_FRAMES, max_size=6), st.lists(st.integers(0, 200), max_size=5).map(sorted))
def test_answers_come_out_however_they_are_cut(frames: list[tuple[int, int, bytes]], cuts: list[int]) -> None:
    sent = b"".join([frame(*one) for one in frames])
    reader = Reader()
    edges = [0, *[min(cut, len(sent)) for cut in cuts], len(sent)]
    found = [a for first, last in itertools.pairwise(edges) for a in reader.feed(sent[first:last])]
    assert found == [Answer(*one) for one in frames]
