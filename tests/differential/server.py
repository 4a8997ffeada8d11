"""One of the two servers that are compared: asks it, and makes its answers comparable."""

import json
import re
import time

import wire

SEND_CODES = {10, 310, 320}
REPLY_CODES = {324, 325}
SENT = (0, 10, 11, 12)
RECORD_CODES = {11, 361, 12, 33}
# Two brokers differ in these for good reasons; that they are there is compared.
ANY = {"lastUpdateTimestamp", "lastTimestamp", "timestamp", "counter", "indexLastUpdateTimestamp",
       "indexLastUpdatePhyoffset", "msgId", "transactionId", "offsetMsgId", "stateVersion", "consumeTps"}
DISPATCH_SECONDS_MAX = 1.0
BEGAN_MS = int(time.time() * 1000) - 3_600_000


class Request:
    """A request; fields and body may be functions of the server that is asked."""

    def __init__(self, code, fields=None, body=b"", binary=False, header=None, flag=0, version=407):
        self.code = code
        self.fields = fields
        self.body = body
        self.binary = binary
        self.header = header
        self.flag = flag
        self.version = version

    def frame(self, server, opaque):
        fields = self.fields(server) if callable(self.fields) else self.fields
        body = self.body(server) if callable(self.body) else self.body
        if self.header is not None:
            return wire.frame(self.header, body)
        make = wire.binary_header if self.binary else wire.json_header
        header = make(self.code, opaque, fields, self.flag, self.version)
        return wire.frame(header, body, 1 if self.binary else 0)


class Server:
    def __init__(self, name, address, strict_address):
        self.name = name
        self.addresses = {False: address, True: strict_address}
        self.connections = {}
        self.kept = []
        self.values = {}

    def connection(self, strict=False):
        found = self.connections.get(strict)
        if found is None:
            found = self.connections[strict] = wire.Connection(self.addresses[strict])
        return found

    def open(self, strict=False):
        return wire.Connection(self.addresses[strict])

    def ask(self, request, connection=None, strict=False, seconds=wire.ANSWER_SECONDS_MAX):
        shared = connection is None
        if shared:
            connection = self.connection(strict)
        opaque = connection.next_opaque()
        try:
            connection.send(request.frame(self, opaque))
        except OSError:
            answer = wire.Answer("closed")
        else:
            answer = connection.answer(opaque if request.header is None else None, seconds)
        if shared and answer.outcome in ("closed", "silent"):
            connection.close()
            self.connections[strict] = None
        return answer

    def call(self, code, fields=None, body=b"", connection=None, strict=False):
        return self.ask(Request(code, fields, body), connection, strict)

    def must(self, code, fields=None, body=b"", connection=None, strict=False):
        """A request of the preparation, which both servers have to serve."""
        answer = self.call(code, fields, body, connection, strict)
        if not answer.ok:
            raise RuntimeError(f"{self.name} answers {answer.outcome} to request {code} {fields}: "
                               f"{answer.remark}")
        return answer

    def pull(self, topic, queue, offset, count=32, group="observer", strict=False):
        fields = {"consumerGroup": group, "topic": topic, "queueId": str(queue), "queueOffset": str(offset),
                  "maxMsgNums": str(count), "sysFlag": "4", "commitOffset": "0",
                  "suspendTimeoutMillis": "0", "subscription": "*", "subVersion": "0",
                  "expressionType": "TAG"}
        return self.call(11, fields, strict=strict)

    def stored(self, topic, queue, offset, count=1, strict=False):
        """The messages from an offset on, once the broker shows so many."""
        deadline = time.monotonic() + DISPATCH_SECONDS_MAX
        while True:
            answer = self.pull(topic, queue, offset, count, strict=strict)
            found = wire.records(answer.body) if answer.ok else []
            if len(found) >= count or time.monotonic() > deadline:
                return found or f"pull answers {answer.outcome}"
            if answer.outcome not in (0, 19, 20, 21):
                return f"pull answers {answer.outcome}"
            time.sleep(0.002)

    def normal(self, value, key=""):
        """A value without addresses, times and places."""
        if key in ANY and value not in ("", None):
            return "any"
        if isinstance(value, dict):
            return {self.text(str(name)): self.normal(inner, name) for name, inner in value.items()
                    if inner is not None}
        if isinstance(value, list):
            items = (self.normal(inner) for inner in value)
            return sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, int) and value > BEGAN_MS:
            return "now"
        return value

    def text(self, value):
        # what a broker makes of the case: addresses, and the ids that hold them
        value = re.sub(r"/?127\.0\.0\.1:\d+", "ADDRESS", value)
        return re.sub(r"7F000001[0-9A-F]{24}", "MSGID", value)

    def comparable(self, request, answer):
        """What of an answer is compared."""
        found = {"code": answer.outcome}
        if answer.outcome in ("closed", "silent"):
            return found
        found["_remark"] = answer.remark
        found["ext"] = self.normal(answer.fields)
        code = request.code
        if code in SEND_CODES | REPLY_CODES and answer.outcome not in SENT:
            # clients make an exception of code and remark, and look at nothing else
            found["ext"] = {}
        if code in RECORD_CODES:
            found["records"] = self.normal(wire.records(answer.body))
        elif code == 26:
            found["ext"].update(version="any" if "version" in answer.fields else "nothing")
            found["body"] = "properties" if answer.body else None
        elif code == 28:
            table = (wire.parse_json(answer.body) or {}).get("table", {})
            found["table"] = {re.sub(r"_/.*", "_PATH", name): kind(value) for name, value in table.items()}
        else:
            found["body"] = self.normal(wire.parse_json(answer.body))
        return found


def kind(value):
    try:
        float(value)
        return "number"
    except ValueError:
        return "text"
