"""Sends of all kinds: what is answered, and what is stored."""

import struct

from cases import Case, ODD, random_variants, variants
from server import Request

NAMES = ["producerGroup", "topic", "defaultTopic", "defaultTopicQueueNums", "queueId", "sysFlag",
         "bornTimestamp", "flag", "properties", "reconsumeTimes", "unitMode", "maxReconsumeTimes", "batch"]
LETTERS = dict(zip(NAMES, "abcdefghijklm"))
KINDS = {"producerGroup": "name", "topic": "name", "defaultTopic": "name", "defaultTopicQueueNums": "int",
         "queueId": "int", "sysFlag": "int", "bornTimestamp": "long", "flag": "int", "properties": "text",
         "reconsumeTimes": "int", "unitMode": "bool", "maxReconsumeTimes": "int", "batch": "bool"}
QUEUES = 16
FORMS = {10: False, 310: True, 320: True, 324: False, 325: True}

PROPERTIES = [
    "", "\x01", "\x02", "a", "a\x01", "\x01b", "a\x01b", "a\x01b\x02", "a\x01b\x02\x02", "\x02a\x01b",
    "a\x01\x02c\x01d", "\x01b\x02c\x01d", "a\x02c\x01d", "a\x01b\x01c", "a\x01b\x02a\x01c",
    "a\x01b\x02c\x01d\x02a\x01e", "a\x01b\x02a\x01", "TAGS\x01a\x02TAGS\x01b", "KEYS\x01a b\x02KEYS\x01c",
    "TAGS\x01", "WAIT\x01true", "WAIT\x01false\x02", "WAIT\x01", "WAIT\x01true\x02WAIT\x01false",
    "CLUSTER\x01mine", "CLUSTER\x01mine\x02CLUSTER\x01yours", "UNIQ_KEY\x01u\x02UNIQ_KEY\x01v",
    "DELAY\x010", "DELAY\x01x", "DELAY\x01-1", "DELAY\x01", "DELAY\x01 1", "DELAY\x01+0",
    "TRAN_MSG\x01false", "MULTI_DISPATCH\x01a,b", "INNER_NUM\x013", " \x01 ", "a \x01 b", "a\x01\u00fc",
    "\u00fc\x01b", "a\x01b\x02\x01\x02", "a\x01\x01", "a\x01\x01\x02", "ab\x02cd", "a\x01b\x02c", "c\x02a\x01b",
    "REAL_TOPIC\x01x", "REAL_QID\x011", "a\x01\U0001f600", "\x00\x01\x00", "a\nb\x01c\nd",
    "__STARTDELIVERTIME\x019999999999999", "TIMER_DELAY_SEC\x010", "POP_CK\x01x", "KEYS\x01 ", "TAGS\x01 a ",
    "k\x01" + "v" * 1000, "RETRY_TOPIC\x01t", "ORIGIN_MESSAGE_ID\x01i", "RECONSUME_TIME\x013",
    "MAX_RECONSUME_TIMES\x013", "PGROUP\x01p", "MSG_REGION\x01r\x02TRACE_ON\x01false",
]
PIECES = ["a", "b", "\x01", "\x02", "TAGS", "WAIT", "KEYS", "k\x01v", "\x02\x02", "CLUSTER", "true"]


def one(flag, body, properties):
    size = 22 + len(body) + len(properties)
    return (struct.pack(">iIIii", size, 0, 0, flag, len(body)) + body
            + struct.pack(">h", len(properties)) + properties)


class Place:
    """A queue that no other case uses."""

    def __init__(self):
        self.count = 0

    def next(self):
        self.count += 1
        return f"sends{self.count // QUEUES}", str(self.count % QUEUES)


def message(place, **changes):
    topic, queue = place.next()
    fields = {"producerGroup": "senders", "topic": topic, "defaultTopic": "TBW102",
              "defaultTopicQueueNums": "4", "queueId": queue, "sysFlag": "0", "bornTimestamp": "123456",
              "flag": "3", "properties": "KEYS\x01key\x02", "reconsumeTimes": "0", "unitMode": "false"}
    fields.update(changes)
    return {name: value for name, value in fields.items() if value is not None}


def prepare(topic):
    """Makes the topic once for each server."""
    def run(server):
        made = server.values.setdefault("topics", set())
        if topic not in made:
            made.add(topic)
            server.must(17, {"topic": topic, "defaultTopic": "TBW102", "readQueueNums": str(QUEUES),
                             "writeQueueNums": str(QUEUES), "perm": "6", "topicFilterType": "SINGLE_TAG",
                             "topicSysFlag": "0", "order": "false"})
    return run


def observe(topic, queue, count=1, queue_known=True):
    """The messages that the answer names, and how many the queue has now."""
    def run(server, answer):
        found = {}
        if answer.ok and "queueOffset" in answer.fields:
            at, offset = answer.fields["queueId"], int(answer.fields["queueOffset"])
            found["stored"] = server.stored(topic, at, offset, count)
            if not queue_known:
                for one in found["stored"] if isinstance(found["stored"], list) else []:
                    one.update(queue="any", queueOffset="any")
        if queue_known:
            bounds = server.call(30, {"topic": topic, "queueId": queue})
            found["max"] = bounds.fields.get("offset", bounds.outcome)
        return found
    return run


def case(name, code, fields, body=b"body", count=1, **more):
    """`fields` have their long names."""
    topic, queue = fields.get("topic", ""), fields.get("queueId", "")
    known = queue.isdigit() and queue == str(int(queue))
    if not known and topic.startswith("sends"):
        # the broker may choose any queue: not one that another case looks at
        topic = fields["topic"] = "sendsanywhere"
    if FORMS[code]:
        fields = {LETTERS.get(field, field): value for field, value in fields.items()}
    prepares = prepare(topic) if topic.startswith("sends") else None
    return Send(name, Request(code, fields, body, **more), prepares, observe(topic, queue, count, known), known)


class Send(Case):
    """`known`: the request names the queue, so that the answer has to."""

    def __init__(self, name, request, prepares, looks, known):
        super().__init__(name, request, prepares, looks)
        self.known = known

    def run(self, server):
        found = super().run(server)
        if not self.known:
            for field in ("queueId", "queueOffset"):
                if field in found.get("ext", {}):
                    found["ext"][field] = "any"
        return found


def fields_of(random, place, code, name):
    for index, (variant, _) in enumerate(list(variants(message(Place()), KINDS))):
        if variant in ("none", "no-fields"):
            fields = {} if variant == "none" else None
            yield Case(f"{name}/{variant}", Request(code, fields, b"body"))
            continue
        again = dict(list(variants(message(place), KINDS))[index][1])
        yield case(f"{name}/{variant}", code, again)
    for optional in ("maxReconsumeTimes", "batch"):
        for index, odd in enumerate(ODD[KINDS[optional]]):
            if not (optional == "batch" and odd == "TRUE"):
                yield case(f"{name}/{optional}/odd{index}={odd!r}", code, message(place, **{optional: odd}))
    for index in range(40):
        fields = message(place)
        _, mixed = next(iter(random_variants(fields, KINDS, random, 1)))
        yield case(f"{name}/mixed{index}", code, mixed)
    for field in message(Place()):
        fields = message(place)
        del fields[field]
        yield case(f"{name}/{field}/missing-binary", code, fields, binary=True)


def properties_of(random, place, code, name):
    for index, text in enumerate(PROPERTIES):
        yield case(f"{name}/properties{index}={text[:20]!r}", code, message(place, properties=text))
    for index in range(60):
        text = "".join(random.choice(PIECES) for _ in range(random.randrange(1, 12)))
        yield case(f"{name}/random-properties{index}={text!r}", code, message(place, properties=text))


def batches(random, place):
    for index, text in enumerate(PROPERTIES):
        if "DELAY" in text:
            continue
        body = one(1, b"x", b"") + one(2, b"y", b"k\x01v\x02") + one(3, b"z", b"k\x01v")
        fields = message(place, properties=text, batch="true")
        yield case(f"batch/header-properties{index}={text[:20]!r}", 320, fields, body, 3)
        raw = text.encode()
        body = one(1, b"x", raw) + one(2, b"y", raw)
        yield case(f"batch/member-properties{index}={text[:20]!r}", 320, message(place, batch="true"), body, 2)
    for index in range(30):
        text = "".join(random.choice(PIECES) for _ in range(random.randrange(1, 8)))
        raw = "".join(random.choice(PIECES) for _ in range(random.randrange(0, 8))).encode()
        fields = message(place, properties=text, batch="true")
        yield case(f"batch/random{index}={text!r}", 320, fields, one(1, b"x", raw) + one(2, b"y", b""), 2)
    good = one(1, b"x", b"a\x01b")
    for name, body in [("empty", b""), ("cut", good + good[:10]), ("garbage", b"garbage"), ("zero", bytes(30)),
                       ("no-body", one(0, b"", b"")), ("negative", good[:16] + b"\xff\xff\xff\xff" + good[20:])]:
        yield case(f"batch/{name}", 320, message(place, batch="true"), body)
    for code in (10, 310, 320):
        for flag in (None, "true", "false"):
            fields = message(place, batch=flag)
            yield case(f"batch/code{code}-flag-{flag}", code, fields, good + good, 2 if flag == "true" else 1)


def bodies(place):
    for code in (10, 310):
        yield case(f"send{code}/empty-body", code, message(place), b"")
        yield case(f"send{code}/old-client", code, message(place), version=1)
        for flag in (1, 2, 4, 8, 12, 16, 32, 64, 128, 1 << 20):
            yield case(f"send{code}/sysflag{flag}", code, message(place, sysFlag=str(flag)))
        for topic in ("SCHEDULE_TOPIC_XXXX", "RMQ_SYS_TRANS_HALF_TOPIC", "TBW102", "OFFSET_MOVED_EVENT",
                      "RMQ_SYS_TRACE_TOPIC", "SELF_TEST_TOPIC", "%DLQ%some", "%RETRY%some", "%RETRY%", "broker-a",
                      "DefaultCluster", "BenchmarkTest", "DefaultCluster_REPLY_TOPIC"):
            yield case(f"send{code}/to-{topic}", code, message(place, topic=topic, queueId="0"))


def stored_reply(topic, queue):
    """A reply is stored although its client is not there; the answer does not say where."""
    def run(server, _answer):
        if not topic or not queue:
            return "nowhere"
        return server.stored(topic, queue, 0)
    return run


def cases(random, names):
    place = Place()
    for code in (10, 310, 320):
        yield from fields_of(random, place, code, f"send{code}")
    for code in (10, 310):
        yield from properties_of(random, place, code, f"send{code}")
    yield from batches(random, place)
    yield from bodies(place)
    for code in (324, 325):
        for name, change in [("valid", {}), ("no-group", {"producerGroup": None}), ("no-topic", {"topic": None}),
                             ("no-default", {"defaultTopic": None}), ("no-queues", {"defaultTopicQueueNums": None}),
                             ("no-queue", {"queueId": None}), ("no-flag", {"flag": None}),
                             ("no-properties", {"properties": None}), ("no-born", {"bornTimestamp": None}),
                             ("no-sysflag", {"sysFlag": None}), ("client", {"properties": "REPLY_TO_CLIENT\x01nobody"})]:
            fields = message(place, **change)
            topic, queue = fields.get("topic", ""), fields.get("queueId", "")
            made = case(f"reply{code}/{name}", code, fields)
            made.observe = stored_reply(topic, queue)
            yield made
