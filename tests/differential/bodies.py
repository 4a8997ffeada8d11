"""Requests with JSON bodies, written in every way that fastjson reads, and in some that it does not."""

import copy
import json
import re

from cases import Case
from server import Request

ALIEN = [5, "5", "", "x", None, True, "true", [], {}, 1.5, "null", [5], {"a": 1}]


def paths(value, path=()):
    """Where every value within a value is."""
    if path:
        yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths(inner, path + (name,))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from paths(inner, path + (index,))


def changed(value, path, change):
    """A copy in which `change` has been done to the container of the path's end."""
    value = copy.deepcopy(value)
    inner = value
    for step in path[:-1]:
        inner = inner[step]
    change(inner, path[-1])
    return value


def renamed(make):
    def change(container, name):
        items = [(make(key) if key == name else key, inner) for key, inner in container.items()]
        container.clear()
        container.update(items)
    return change


def snake(name):
    return re.sub(r"([A-Z])", lambda found: "_" + found.group(1).lower(), name)


RENAMES = {
    "upper": str.upper, "lower": str.lower, "capital": lambda name: name[0].upper() + name[1:],
    "snake": snake, "kebab": lambda name: snake(name).replace("_", "-"), "shout": lambda name: snake(name).upper(),
    "is": lambda name: "is" + name[0].upper() + name[1:], "under": lambda name: "_" + name + "_",
    "other": lambda name: name + "X", "dot": lambda name: name[:1] + "." + name[1:],
}


def values(body):
    """Name and body for every member in other cases, missing, and with other values."""
    for path in paths(body):
        where = ".".join(str(step) for step in path)
        yield f"{where}/removed", changed(body, path, lambda container, name: container.__delitem__(name))
        if isinstance(path[-1], str):
            for name, make in RENAMES.items():
                yield f"{where}/{name}", changed(body, path, renamed(make))
        for index, alien in enumerate(ALIEN):
            def change(container, name, alien=alien):
                container[name] = alien
            yield f"{where}/value{index}={json.dumps(alien)}", changed(body, path, change)


def texts(body):
    """Name and text for the ways in which JSON can be written."""
    plain = json.dumps(body)
    compact = json.dumps(body, separators=(",", ":"))
    first = next(iter(body))
    yield "compact", compact.encode()
    yield "spaces", json.dumps(body, indent=4).encode()
    yield "bom", b"\xef\xbb\xbf" + plain.encode()
    yield "two-boms", b"\xef\xbb\xbf\xef\xbb\xbf" + plain.encode()
    yield "bom-behind", plain.encode() + b"\xef\xbb\xbf"
    yield "single-quotes", plain.replace('"', "'").encode()
    yield "no-quotes", re.sub(r'"(\w+)":', r"\1:", plain).encode()
    yield "comments", b"/* one */" + plain.encode() + b" // two"
    yield "comment-inside", plain.replace(",", ",/* c */", 1).encode()
    yield "commas", plain.replace("}", ",}").replace("]", ",]").encode()
    yield "leading-comma", plain.replace("{", "{,", 1).encode()
    yield "unknown", (plain[:-1] + ',"unknown":{"a":[1,{"b":null}]},"other":"x"}').encode()
    yield "duplicate", (plain[:-1] + f', "{first}": {json.dumps(body[first])}}}').encode()
    yield "duplicate-first", ("{" + f'"{first}": "zzz",' + plain[1:]).encode()
    yield "duplicate-case", (plain[:-1] + f', "{first.upper()}": "zzz"}}').encode()
    yield "duplicate-case-first", ("{" + f'"{first.upper()}": "zzz",' + plain[1:]).encode()
    yield "escapes", re.sub(r'"(\w)(\w*)":', lambda m: f'"\\u{ord(m.group(1)):04x}{m.group(2)}":', plain).encode()
    yield "cut", plain[:-5].encode()
    yield "unclosed", plain[:-1].encode()
    yield "garbage-behind", plain.encode() + b" x"
    yield "brace-behind", plain.encode() + b"}"
    yield "zero-behind", plain.encode() + b"\x00"
    yield "twice", plain.encode() * 2
    yield "empty", b""
    yield "space", b"  "
    yield "object", b"{}"
    yield "null", b"null"
    yield "list", b"[]"
    yield "number", b"5"
    yield "text", b'"x"'
    yield "wrapped", f"[{plain}]".encode()
    yield "invalid-utf8", plain.encode().replace(b'"', b'"\xff', 1)
    yield "typed", ('{"@type":"java.lang.Object",' + plain[1:]).encode()
    yield "tabs", plain.replace(" ", "\t\r\n\f\b").encode()


def all_bodies(body):
    for name, text in texts(body):
        yield name, text
    for name, value in values(body):
        yield name, json.dumps(value, separators=(",", ":")).encode()


def heartbeat(names):
    group, producers, client = names.fresh("beatgroup"), names.fresh("beatproducer"), names.fresh("beatclient")
    subscription = {"topic": "base", "subString": "a||b", "subVersion": 5, "tagsSet": ["a", "b"],
                    "codeSet": [97, 98], "classFilterMode": False, "expressionType": "TAG"}
    consumer = {"groupName": group, "consumeType": "CONSUME_PASSIVELY", "messageModel": "CLUSTERING",
                "consumeFromWhere": "CONSUME_FROM_FIRST_OFFSET", "unitMode": False,
                "subscriptionDataSet": [subscription]}
    return {"clientID": client, "consumerDataSet": [consumer], "producerDataSet": [{"groupName": producers}]}


def look_at_clients(group, producers):
    def run(server, _answer):
        found = {}
        for code, fields in ((203, {"consumerGroup": group}), (38, {"consumerGroup": group}),
                             (204, {"producerGroup": producers})):
            request = Request(code, fields)
            found[str(code)] = server.comparable(request, server.ask(request))
        # what the group's subscription lets through
        fields = {"consumerGroup": group, "topic": "base", "queueId": "0", "queueOffset": "0", "maxMsgNums": "3",
                  "sysFlag": "0", "commitOffset": "0", "suspendTimeoutMillis": "0", "subVersion": "0"}
        request = Request(11, fields)
        found["pull"] = server.comparable(request, server.ask(request))
        return found
    return run


def heartbeats(names):
    for name, _ in all_bodies(heartbeat(names)):
        body = heartbeat(names)
        text = dict(all_bodies(body))[name]
        group = body["consumerDataSet"][0]["groupName"]
        observe = look_at_clients(group, body["producerDataSet"][0]["groupName"])
        yield Case(f"heartbeat/{name}", Request(34, {}, text), observe=observe, alone=True)


def group_config(name):
    return {"groupName": name, "consumeEnable": True, "consumeFromMinEnable": False,
            "consumeBroadcastEnable": True, "retryQueueNums": 2, "retryMaxTimes": 5, "brokerId": 0,
            "whichBrokerWhenConsumeSlowly": 1, "notifyConsumerIdsChangedEnable": True}


def look_at_group(name):
    def run(server, _answer):
        table = server.comparable(Request(201), server.call(201))["body"]["subscriptionGroupTable"]
        return table.get(name, "absent")
    return run


def groups(names):
    for name, _ in all_bodies(group_config("x")):
        group = names.fresh("madegroup")
        text = dict(all_bodies(group_config(group)))[name]
        yield Case(f"update-group/{name}", Request(200, {}, text), observe=look_at_group(group))


def lock_body(names):
    queues = [{"topic": "base", "brokerName": "broker-a", "queueId": queue} for queue in (0, 1)]
    return {"consumerGroup": names.fresh("lockgroup"), "clientId": "lockclient", "mqSet": queues}


def look_at_locks(body):
    def run(server, _answer):
        other = dict(body, clientId="another")
        request = Request(41, {}, json.dumps(other).encode())
        return server.comparable(request, server.ask(request))
    return run


def locks(names):
    for name, _ in all_bodies(lock_body(names)):
        body = lock_body(names)
        text = dict(all_bodies(body))[name]
        yield Case(f"lock/{name}", Request(41, {}, text), observe=look_at_locks(body))
    for name, _ in texts(lock_body(names)):
        body = lock_body(names)

        def lock(server, body=body):
            server.must(41, body=json.dumps(body).encode())
        text = dict(texts(body))[name]
        yield Case(f"unlock/{name}", Request(42, {}, text), prepare=lock, observe=look_at_locks(body))


def checks():
    for kind, text in (("TAG", "a"), ("SQL92", "n > 3"), ("SQL92", "n >"), ("OTHER", "x")):
        body = {"clientId": "c", "group": "basegroup", "namespace": "",
                "subscriptionData": {"topic": "base", "subString": text, "expressionType": kind, "subVersion": 1}}
        for name, written in texts(body) if kind == "TAG" else [("plain", json.dumps(body).encode())]:
            yield Case(f"check-client/{kind}-{name}-{text}", Request(46, {}, written))
        for name, value in values(body) if text == "n > 3" else []:
            yield Case(f"check-client/{kind}-{text}/{name}", Request(46, {}, json.dumps(value).encode()))


def cases(random, names):
    yield from heartbeats(names)
    yield from groups(names)
    yield from locks(names)
    yield from checks()
