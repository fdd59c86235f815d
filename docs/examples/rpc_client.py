#!/usr/bin/env python3
"""Calls the platform's RPC (docs/rpc.md) from Python, with nothing but the standard library.

    python3 docs/examples/rpc_client.py --host 127.0.0.1 --port 5001 LogInfo "a name" "some data"
    python3 docs/examples/rpc_client.py --event-id my-id LogOnce "a name" "some data"
    python3 docs/examples/rpc_client.py Find my-id another-id
    python3 docs/examples/rpc_client.py Ping
    python3 docs/examples/rpc_client.py Hello

Uses the package `msgpack` where it is installed, else the small encoder and decoder below, which know
the types that the protocol uses: nil, booleans, integers, floats, text, arrays and maps.
"""

import argparse
import json
import socket
import struct
import sys
import uuid

try:
    import msgpack

    def pack(value):
        return msgpack.packb(value)

    def unpack(data):
        return msgpack.unpackb(data)

except ImportError:

    def pack(value):
        """One value as MessagePack, in its shortest form."""
        if value is None:
            return b"\xc0"
        if value is True or value is False:
            return b"\xc3" if value else b"\xc2"
        if isinstance(value, int):
            return _pack_int(value)
        if isinstance(value, float):
            return struct.pack(">Bd", 0xCB, value)
        if isinstance(value, str):
            data = value.encode("utf-8")
            return _pack_head(len(data), 0xA0, 32, 0xD9, 0xDA, 0xDB) + data
        if isinstance(value, (list, tuple)):
            head = _pack_head(len(value), 0x90, 16, None, 0xDC, 0xDD)
            return head + b"".join(pack(item) for item in value)
        if isinstance(value, dict):
            head = _pack_head(len(value), 0x80, 16, None, 0xDE, 0xDF)
            return head + b"".join(pack(key) + pack(item) for key, item in value.items())
        raise TypeError(f"{type(value).__name__} has no form on the wire")

    def _pack_int(value):
        if 0 <= value < 0x80:
            return struct.pack(">B", value)
        if -0x20 <= value < 0:
            return struct.pack(">b", value)
        unsigned = ((0xCC, ">BB", 8), (0xCD, ">BH", 16), (0xCE, ">BI", 32), (0xCF, ">BQ", 64))
        signed = ((0xD0, ">Bb", 7), (0xD1, ">Bh", 15), (0xD2, ">Bi", 31), (0xD3, ">Bq", 63))
        for token, form, bits in unsigned if value >= 0 else signed:
            if -(1 << bits) <= value < (1 << bits):
                return struct.pack(form, token, value)
        raise OverflowError("an integer of more than 64 bits")

    def _pack_head(length, fixed, fixed_limit, token8, token16, token32):
        if length < fixed_limit:
            return struct.pack(">B", fixed | length)
        if token8 is not None and length < 0x100:
            return struct.pack(">BB", token8, length)
        if length < 0x10000:
            return struct.pack(">BH", token16, length)
        return struct.pack(">BI", token32, length)

    def unpack(data):
        """The one value in `data`."""
        value, end = _unpack(data, 0)
        if end != len(data):
            raise ValueError("bytes after the value")
        return value

    _SCALARS = {
        0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
        0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
    }  # fmt: skip
    _LENGTHS = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I", 0xDC: ">H", 0xDD: ">I", 0xDE: ">H", 0xDF: ">I"}

    def _unpack(data, at):
        token = data[at]
        at += 1
        if token < 0x80:
            return token, at
        if token >= 0xE0:
            return token - 0x100, at
        if token in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[token], at
        if token in _SCALARS:
            form = _SCALARS[token]
            return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
        if token in _LENGTHS:
            form = _LENGTHS[token]
            length = struct.unpack_from(form, data, at)[0]
            at += struct.calcsize(form)
        elif token < 0xC0:
            length = token & (0x1F if token >= 0xA0 else 0x0F)
        else:
            raise ValueError(f"0x{token:02x} is not used by the protocol")
        if 0xA0 <= token < 0xC0 or 0xD9 <= token <= 0xDB:
            return data[at : at + length].decode("utf-8"), at + length
        if 0x90 <= token < 0xA0 or token in (0xDC, 0xDD):
            items = []
            for _ in range(length):
                item, at = _unpack(data, at)
                items.append(item)
            return items, at
        entries = {}
        for _ in range(length):
            key, at = _unpack(data, at)
            entries[key], at = _unpack(data, at)
        return entries, at


class RpcError(Exception):
    """The server's answer was an error: `code` of docs/rpc.md, and a message."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code


class RpcClient:
    """One connection, one call at a time. (The protocol also allows many at a time, matched by id.)"""

    def __init__(self, host, port, token=None, timeout_s=5.0):
        self._socket = socket.create_connection((host, port), timeout=timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._timeout_s = timeout_s
        self._last_id = 0
        self.server = self.call("RPCServer.Hello", [{"client": "rpc_client.py", **({"token": token} if token else {})}])

    def call(self, method, params):
        """The result of `method`. Raises RpcError, or OSError where the connection is lost or too slow."""
        self._last_id = (self._last_id + 1) & 0xFFFFFFFF
        meta = {"deadline_ms": int(self._timeout_s * 1000), "request_id": str(uuid.uuid4())}
        body = pack([0, self._last_id, method, params, meta])
        self._socket.sendall(struct.pack(">I", len(body)) + body)
        while True:
            (length,) = struct.unpack(">I", self._read(4))
            kind, answered, error, result = unpack(self._read(length))
            if kind != 1 or answered != self._last_id:
                continue  # a late answer to a call that was given up
            if error is not None:
                raise RpcError(error["code"], error["message"])
            return result

    def log_info(self, name, data, severity=None, event_id=None):
        """Stores an entry. The same event_id again stores nothing and succeeds, so repeating a lost call is safe."""
        return self.call("RPCServer.LogInfo", [self._entry(name, data, severity, event_id)])

    def log_once(self, name, data, severity=None, event_id=None):
        """As log_info, and says what became of it: "stored", "duplicate" (it was before) or "conflict" (another one was)."""
        return self.call("RPCServer.LogOnce", [self._entry(name, data, severity, event_id)])

    def find(self, event_ids):
        """What is stored under each of up to 1,000 ids, in order; None where nothing is."""
        return self.call("RPCServer.Find", [list(event_ids)])

    @staticmethod
    def _entry(name, data, severity, event_id):
        entry = {"name": name, "data": data, "event_id": event_id or str(uuid.uuid4())}
        if severity is not None:
            entry["severity"] = severity
        return entry

    def _read(self, count):
        data = b""
        while len(data) < count:
            chunk = self._socket.recv(count - len(data))
            if not chunk:
                raise ConnectionError("the server closed the connection")
            data += chunk
        return data

    def close(self):
        self._socket.close()


def main():
    parser = argparse.ArgumentParser(description="Calls the platform's RPC.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5001)
    parser.add_argument("--token", help="where the server needs one")
    parser.add_argument("--severity", choices=["INFO", "WARNING", "ERROR"])
    parser.add_argument("--event-id", help="an id of your own: the same one is stored once")
    commands = parser.add_subparsers(dest="command", required=True)
    for method, what in (("LogInfo", "store a log entry"), ("LogOnce", "store it, and hear whether its id was taken")):
        log = commands.add_parser(method, help=what)
        log.add_argument("name")
        log.add_argument("data", help="text, or JSON where it is an object, an array or a number")
    commands.add_parser("Find", help="ask what is stored under ids").add_argument("event_ids", nargs="+")
    commands.add_parser("Ping", help="ask for a sign of life")
    commands.add_parser("Hello", help="ask who the server is")
    given = parser.parse_args()

    try:
        client = RpcClient(given.host, given.port, given.token)
        if given.command in ("LogInfo", "LogOnce"):
            try:
                data = json.loads(given.data)
            except ValueError:
                data = given.data
            log = client.log_info if given.command == "LogInfo" else client.log_once
            answer = log(given.name, data, given.severity, given.event_id)
        elif given.command == "Find":
            answer = client.find(given.event_ids)
        elif given.command == "Ping":
            answer = client.call("RPCServer.Ping", [])
        else:
            answer = client.server
        client.close()
    except (RpcError, OSError) as error:
        sys.exit(f"error: {error}")
    print(answer if isinstance(answer, str) else json.dumps(answer))


if __name__ == "__main__":
    main()
