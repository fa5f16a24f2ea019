"""A worker that sends mail, and loses no job while the mail server is away.

    echo 'ada@example.org Your lesson starts at nine.' | python examples/worker.py

Jobs are lines: an address and a text. A mail that the server does not take is kept in `outbox.db`, and sent, in order,
as soon as the server is back: within this run, or at the start of the next. Works the same inside of a Celery task.
"""

import os
import smtplib
import sys
import time
import uuid
from email.message import EmailMessage

import upright
from upright.strategies.fallback import FallbackChain, OfflineMode, OfflineQueue, Queued

SERVER = os.environ.get("SMTP_HOST", "127.0.0.1"), int(os.environ.get("SMTP_PORT", "25"))


def send(address, text, *, idempotency_key):
    """Send a mail. One that is sent twice, since the worker died in between, can be told by its Message-ID."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "worker@example.org", address, "News"
    mail.set_content(text)
    mail["Message-ID"] = f"<{idempotency_key}@example.org>"
    with smtplib.SMTP(*SERVER, timeout=5) as server:
        server.send_message(mail)


def send_later(_key, payload):
    """Do what was put off; raising means: not now. What can never succeed (bad input) is set aside as poison."""
    send(*payload["args"], **payload["kwargs"])
    print("sent later:", *payload["args"], flush=True)


class MailServer(upright.HealingStrategy):
    """A strategy of our own: from here a mail server cannot be repaired, but its return can be noticed, and proven."""

    name = "mail server"
    timeout = 30.0

    def can_handle(self, report):
        """Tell whether it is about the mail server."""
        return report.resource == "smtp"

    def heal(self, report):
        """Wait for it, not longer than `timeout`."""
        deadline = time.monotonic() + self.timeout - 6.0
        while True:
            try:
                return self.verify(report)
            except OSError:  # all of smtplib's errors are
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def verify(self, _report):
        """Prove it by talking to it, as the application does."""
        with smtplib.SMTP(*SERVER, timeout=5) as server:
            return server.noop()[0] == 250


def main():
    """Work until there are no more jobs."""
    queue = OfflineQueue("outbox.db", limit=100_000)
    strategies = [MailServer(), FallbackChain("send_mail", [OfflineMode(queue, send_later)])]
    with upright.boot(strategies=strategies, name="mailer") as tree:
        # heal_wait=0: the next job need not wait for the mail server, this one is safe on disk.
        deliver = tree.protect("send_mail", resource="smtp", idempotent=True, heal_wait=0)(send)
        for job in map(str.strip, sys.stdin):
            address, _, text = job.partition(" ")
            try:
                outcome = deliver(address, text, idempotency_key=uuid.uuid4().hex)
            except smtplib.SMTPException:  # permanent, by the server's own reply: no use in keeping it
                print("refused for good:", job, flush=True)
            else:
                print("kept:" if isinstance(outcome, Queued) else "sent:", job, flush=True)
    print(f"{len(queue)} wait for the next start, {len(queue.poison())} were set aside")


if __name__ == "__main__":
    main()
