"""Frames, headers and records of the remoting protocol, written and read by hand."""

import json
import socket
import struct
import time

RESPONSE_FLAG = 1
# A busy machine may take long; what is never answered is asked for with less patience.
ANSWER_SECONDS_MAX = 20.0
SILENCE_SECONDS = 1.5


def json_header(code, opaque, fields, flag=0, version=407):
    header = {"code": code, "language": "JAVA", "version": version, "opaque": opaque, "flag": flag}
    if fields is not None:
        header["extFields"] = fields
    return json.dumps(header).encode()


def binary_header(code, opaque, fields, flag=0, version=407):
    entries = b""
    for name, value in (fields or {}).items():
        name, value = name.encode(), value.encode()
        entries += struct.pack(">h", len(name)) + name + struct.pack(">i", len(value)) + value
    start = struct.pack(">hbhii", code, 0, version, opaque, flag)
    return start + struct.pack(">i", 0) + struct.pack(">i", len(entries)) + entries


def frame(header, body=b"", serialization=0):
    word = serialization << 24 | len(header)
    return struct.pack(">iI", 4 + len(header) + len(body), word) + header + body


class Answer:
    """What came back: a response, or that nothing did ("silent", "closed")."""

    def __init__(self, outcome, fields=None, body=b"", remark=None, opaque=None):
        self.outcome = outcome
        self.fields = fields or {}
        self.body = body
        self.remark = remark
        self.opaque = opaque

    @property
    def ok(self):
        return self.outcome == 0


def parse_binary_header(data):
    code, _, _, opaque, flag = struct.unpack(">hbhii", data[:13])
    at = 13
    length, = struct.unpack(">i", data[at:at + 4])
    remark = data[at + 4:at + 4 + length].decode(errors="replace")
    at += 4 + length
    end = at + 4 + struct.unpack(">i", data[at:at + 4])[0]
    at += 4
    fields = {}
    while at < end:
        length, = struct.unpack(">h", data[at:at + 2])
        name = data[at + 2:at + 2 + length].decode()
        at += 2 + length
        length, = struct.unpack(">i", data[at:at + 4])
        fields[name] = data[at + 4:at + 4 + length].decode(errors="replace")
        at += 4 + length
    return {"code": code, "opaque": opaque, "flag": flag, "remark": remark, "extFields": fields}


class Connection:
    def __init__(self, address):
        host, port = address.split(":")
        self.socket = socket.create_connection((host, int(port)), 5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.bytes = b""
        self.opaque = 0

    def next_opaque(self):
        self.opaque += 1
        return self.opaque

    def send(self, data):
        self.socket.sendall(data)

    def _frame(self, deadline):
        while True:
            if len(self.bytes) >= 4:
                length, = struct.unpack(">i", self.bytes[:4])
                if len(self.bytes) >= 4 + length:
                    data, self.bytes = self.bytes[4:4 + length], self.bytes[4 + length:]
                    return data
            left = deadline - time.monotonic()
            if left <= 0:
                raise socket.timeout()
            self.socket.settimeout(left)
            piece = self.socket.recv(1 << 20)
            if not piece:
                raise ConnectionError()
            self.bytes += piece

    def answer(self, opaque, seconds=ANSWER_SECONDS_MAX):
        """The response to a request; with no opaque, the first response whatever its opaque."""
        deadline = time.monotonic() + seconds
        try:
            while True:
                data = self._frame(deadline)
                word, = struct.unpack(">I", data[:4])
                length = word & 0xFFFFFF
                raw = data[4:4 + length]
                header = json.loads(raw) if word >> 24 == 0 else parse_binary_header(raw)
                if not header.get("flag", 0) & RESPONSE_FLAG:
                    continue
                if opaque is None or header.get("opaque") == opaque:
                    return Answer(header["code"], header.get("extFields"), data[4 + length:],
                                  header.get("remark"), header.get("opaque"))
        except socket.timeout:
            return Answer("silent")
        except OSError:
            return Answer("closed")

    def close(self):
        self.socket.close()


def records(body):
    """The records of a pull's body, without what differs between two brokers for good reasons:
    places, times, addresses."""
    found = []
    at = 0
    while at + 88 <= len(body):
        size, magic, crc, queue, flag = struct.unpack(">iIIii", body[at:at + 20])
        queue_offset, _, sys_flag = struct.unpack(">qqi", body[at + 20:at + 40])
        born_time, = struct.unpack(">q", body[at + 40:at + 48])
        born_v6, store_v6 = 12 if sys_flag & 16 else 0, 12 if sys_flag & 32 else 0
        position = at + 48 + 8 + born_v6 + 8 + 8 + store_v6
        reconsumed, prepared = struct.unpack(">iq", body[position:position + 12])
        position += 12
        length, = struct.unpack(">i", body[position:position + 4])
        content = body[position + 4:position + 4 + length]
        position += 4 + length
        length = body[position]
        topic = body[position + 1:position + 1 + length]
        position += 1 + length
        length, = struct.unpack(">h", body[position:position + 2])
        properties = body[position + 2:position + 2 + length]
        found.append({"magic": hex(magic), "crc": crc, "queue": queue, "flag": flag,
                      "queueOffset": queue_offset, "sysFlag": sys_flag, "born": born_time,
                      "reconsumed": reconsumed, "prepared": prepared,
                      "body": content.decode("latin-1")[:200], "topic": topic.decode(errors="replace"),
                      # one separator at the end may be there or not: clients read both alike
                      "properties": sorted(properties.decode(errors="replace").removesuffix("\x02").split("\x02"))})
        at += size
        if size <= 0:
            break
    return found


class Fastjson:
    """Reads JSON with objects and numbers as keys, as the answers of a broker have it."""

    def __init__(self, data):
        self.text = data.decode(errors="replace")
        self.at = 0

    def parse(self):
        try:
            return json.loads(self.text)
        except ValueError:
            return self.value()

    def space(self):
        while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
            self.at += 1

    def value(self):
        self.space()
        start = self.text[self.at]
        if start == "{":
            return self.object()
        if start == "[":
            return self.array()
        value, self.at = json.JSONDecoder().raw_decode(self.text, self.at)
        return value

    def array(self):
        self.at += 1
        found = []
        while True:
            self.space()
            if self.text[self.at] == "]":
                self.at += 1
                return found
            if self.text[self.at] == ",":
                self.at += 1
                continue
            found.append(self.value())

    def object(self):
        self.at += 1
        found = {}
        while True:
            self.space()
            if self.text[self.at] == "}":
                self.at += 1
                return found
            if self.text[self.at] == ",":
                self.at += 1
                continue
            key = self.value()
            if not isinstance(key, str):
                key = json.dumps(key, sort_keys=True)
            self.space()
            self.at += 1
            found[key] = self.value()


def parse_json(body):
    if not body:
        return None
    try:
        return Fastjson(body).parse()
    except (ValueError, IndexError):
        return {"not JSON": body.decode("latin-1")[:200]}
