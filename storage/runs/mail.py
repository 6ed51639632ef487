"""Mail about a run that ended in an exception nobody expected.

MailError    the message could not be handed over, in one line that names the server
"""

from __future__ import annotations

import smtplib
from email.message import EmailMessage

from storage.config.site import Email

_SECONDS = 30.0
"""How long the server may take for each step."""


class MailError(Exception):
    """The message could not be handed over; the message names the server."""


def send(email: Email, subject: str, text: str) -> None:
    """Hand a message over to the mail server of the configuration.

    Raises:
        MailError: it was not taken, or not for every recipient.
    """
    message = EmailMessage()
    message["From"] = email.sender
    message["To"] = ", ".join(email.recipients)
    message["Subject"] = subject
    # A name in a traceback need not be UTF-8.
    message.set_content(text.encode("utf-8", "backslashreplace").decode())
    host, _, port = email.server.rpartition(":")
    try:
        with smtplib.SMTP(host, int(port), timeout=_SECONDS) as server:
            refused = server.send_message(message)
    except (OSError, smtplib.SMTPException) as error:
        raise MailError(f"no mail was sent through {email.server}: {error}") from error
    if refused:
        raise MailError(f"{email.server} sent no mail to {', '.join(sorted(refused))}")
