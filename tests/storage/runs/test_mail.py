from __future__ import annotations

from collections.abc import Iterator

import pytest

from storage.config.site import Email
from storage.runs.mail import MailError, send
from tests.servers.smtp import MailServer, mail_server


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as running:
        yield running


def test_every_recipient_is_told(server: MailServer) -> None:
    send(Email("from@site.example", ("a@site.example", "b@site.example"), server.address), "T2_X failed", "why\nso\n")
    (message,) = server.messages
    assert (message["From"], message["To"]) == ("from@site.example", "a@site.example, b@site.example")
    assert (message["Subject"], message.get_content()) == ("T2_X failed", "why\nso\n")


def test_a_name_that_is_not_utf8_can_be_told(server: MailServer) -> None:
    send(Email("a@b.example", ("c@d.example",), server.address), "failed", "no such file: caf\udce9")
    assert server.messages[0].get_content() == "no such file: caf\\udce9\n"


def test_a_recipient_that_is_refused_is_named(server: MailServer) -> None:
    server.refused.add("nobody@")
    with pytest.raises(MailError, match=rf"{server.address} sent no mail to nobody@site.example"):
        send(Email("a@b.example", ("c@d.example", "nobody@site.example"), server.address), "failed", "why")
    assert len(server.messages) == 1


def test_a_server_that_is_not_there_is_named() -> None:
    with mail_server() as server:
        address = server.address
    with pytest.raises(MailError, match=rf"no mail was sent through {address}: "):
        send(Email("a@b.example", ("c@d.example",), address), "failed", "why")
