#!/usr/bin/env python3
"""Receives webhooks of the mail service and prints those that are genuine. Standard library only.

    python3 docs/examples/webhook_receiver.py --port 9000 --secret whsec_...
"""
import argparse
import base64
import hashlib
import hmac
import json
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

TOLERANCE_S = 5 * 60
MAX_BODY = 1_048_576


def is_genuine(headers, body, secret):
    """`body`: the bytes as they came. `secret`: base64, with or without whsec_."""
    event_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not event_id or not timestamp.isdigit() or abs(time.time() - int(timestamp)) > TOLERANCE_S:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{event_id}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    # Several during a rotation: one that fits is enough.
    return any(hmac.compare_digest(expected, given) for given in headers.get("webhook-signature", "").split(" "))


def receiver(secret):
    seen = set()  # In real life: a unique index in your database.

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers.get("content-length", "0"))
            if length > MAX_BODY:
                return self.answer(413)
            body = self.rfile.read(length)
            if not is_genuine(self.headers, body, secret):
                return self.answer(401)
            event = json.loads(body)
            # The same event may come more than once.
            if event["id"] not in seen:
                seen.add(event["id"])
                print(event["type"], event["mail_id"], event["recipient"], flush=True)
            self.answer(204)

        def answer(self, status):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    return Receiver


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--secret", required=True)
    arguments = parser.parse_args()
    server = HTTPServer(("127.0.0.1", arguments.port), receiver(arguments.secret))
    print(f"listening on {server.server_port}", flush=True)
    server.serve_forever()
