"""Headers of frames, written in every way that fastjson reads, and in some that it does not."""

import json

from bodies import RENAMES
from cases import Case
from server import Request
from wire import SILENCE_SECONDS

TOP = {"code": 30, "language": "JAVA", "version": 407, "opaque": 77, "flag": 0, "remark": "r",
       "extFields": {"topic": "base", "queueId": "0"}, "serializeTypeCurrentRPC": "JSON"}
ALIEN = [5, "5", "", "x", None, True, [], {}, 1.5, -1, 1 << 31, 1 << 40, "JAVA", 9, "9"]


def forms():
    plain = json.dumps(TOP)
    yield "plain", plain
    for name in TOP:
        rest = {other: value for other, value in TOP.items() if other != name}
        yield f"{name}/removed", json.dumps(rest)
        for form, rename in RENAMES.items():
            yield f"{name}/{form}", json.dumps({rename(key) if key == name else key: value for key, value in TOP.items()})
        for index, alien in enumerate(ALIEN):
            # a response, or a request that is not to be answered, gets no answer
            if name == "flag" and alien not in (None, "", 1.5, 1 << 31, 1 << 40, "x"):
                continue
            yield f"{name}/value{index}={json.dumps(alien)}", json.dumps({**TOP, name: alien})
    for index, alien in enumerate(ALIEN + [{"a": 1}, [1, 2]]):
        fields = {**TOP["extFields"], "queueId": alien}
        yield f"ext-queueId/value{index}={json.dumps(alien)}", json.dumps({**TOP, "extFields": fields})
    yield "bom", "\ufeff" + plain
    yield "single-quotes", plain.replace('"', "'")
    yield "no-quotes", plain.replace('"code"', "code").replace('"opaque"', "opaque").replace('"topic"', "topic")
    yield "comments", "/* a */" + plain + "// b"
    yield "commas", plain.replace("}", ",}")
    yield "garbage-behind", plain + "x"
    yield "brace-behind", plain + "}"
    yield "space-around", " \n" + plain + "  "
    yield "twice", plain + plain
    yield "cut", plain[:-3]
    yield "empty", ""
    yield "object", "{}"
    yield "null", "null"
    yield "list", "[]"
    yield "text", '"x"'
    yield "duplicate-code", plain[:-1] + ',"code":31}'
    yield "duplicate-code-case", plain[:-1] + ',"CODE":31}'
    yield "duplicate-code-case-first", '{"CODE":31,' + plain[1:]
    yield "duplicate-ext", plain[:-1] + ',"extFields":{"topic":"base","queueId":"2"}}'
    yield "duplicate-ext-entry", plain.replace('"queueId": "0"', '"queueId":"0","queueId":"2"')
    yield "unknown", plain[:-1] + ',"more":{"a":[1,2,{"b":null}]},"x":"y"}'
    yield "escapes", plain.replace('"code"', '"\\u0063ode"').replace("base", "b\\u0061se")
    yield "custom-header", plain[:-1] + ',"customHeader":{"a":1},"body":"eA=="}'


def renamed_sends():
    """Sends whose header begins as clients write it and goes on differently."""
    fields = {"a": "senders", "b": "base", "c": "TBW102", "d": "4", "e": "1", "f": "0", "g": "1", "h": "0",
              "i": "", "j": "0"}
    pull = {"consumerGroup": "basegroup", "topic": "base", "queueId": "0", "queueOffset": "3", "maxMsgNums": "2",
            "sysFlag": "4", "commitOffset": "1", "suspendTimeoutMillis": "0", "subscription": "*",
            "subVersion": "0"}
    for code, ext in ((310, fields), (11, pull)):
        top = {"code": code, "language": "JAVA", "version": 407, "opaque": 9, "flag": 0, "extFields": ext}
        for name in ("opaque", "flag", "version", "extFields", "language"):
            for form, rename in RENAMES.items():
                yield f"{code}/{name}/{form}", json.dumps(
                    {rename(key) if key == name else key: value for key, value in top.items()}, separators=(",", ":"))


class Header(Case):
    """Compares the opaque, too: a client finds its request by it."""

    def __init__(self, name, text, body=b""):
        super().__init__(name, Request(0, header=text.encode(), body=body), alone=True)

    def run(self, server):
        connection = server.open()
        answer = server.ask(self.request, connection, seconds=SILENCE_SECONDS)
        found = server.comparable(self.request, answer)
        # a header without one gets a number that Java makes up
        found["opaque"] = answer.opaque if answer.opaque in (77, 9, 5, -1) else "made up"
        connection.close()
        if not answer.ok:
            found["ext"] = {}
        if "queueOffset" in found.get("ext", {}):
            found["ext"]["queueOffset"] = "any"
        if answer.ok and "nextBeginOffset" in answer.fields:
            found["body"] = "records" if answer.body else None
        return found


def cases(_random, _names):
    for name, text in forms():
        yield Header(f"header/{name}", text)
    for name, text in renamed_sends():
        yield Header(f"header/{name}", text, b"body")
