"""Requests that only read, and pulls."""

from cases import Case, random_variants, variants, with_prefix
from server import Request

BASE, GROUP, PRODUCERS = "base", "basegroup", "baseproducer"
MESSAGES = 12

# name, code, fields with valid values, kinds of the fields
QUERIES = [
    ("search-offset", 29, {"topic": BASE, "queueId": "0", "timestamp": "1"},
     {"topic": "name", "queueId": "int", "timestamp": "long"}),
    ("max-offset", 30, {"topic": BASE, "queueId": "0"}, {"topic": "name", "queueId": "int"}),
    ("min-offset", 31, {"topic": BASE, "queueId": "0"}, {"topic": "name", "queueId": "int"}),
    ("earliest-time", 32, {"topic": BASE, "queueId": "0"}, {"topic": "name", "queueId": "int"}),
    ("query-offset", 14, {"consumerGroup": GROUP, "topic": BASE, "queueId": "0"},
     {"consumerGroup": "name", "topic": "name", "queueId": "int"}),
    ("query-offset-unknown", 14, {"consumerGroup": "never", "topic": BASE, "queueId": "1"},
     {"consumerGroup": "name", "topic": "name", "queueId": "int"}),
    ("query-message", 12, {"topic": BASE, "key": "k3", "maxNum": "32", "beginTimestamp": "0",
                           "endTimestamp": "9223372036854775807"},
     {"topic": "name", "key": "text", "maxNum": "int", "beginTimestamp": "long", "endTimestamp": "long"}),
    ("consumer-list", 38, {"consumerGroup": GROUP}, {"consumerGroup": "name"}),
    ("all-topics", 21, {}, {}),
    ("topic-stats", 202, {"topic": BASE}, {"topic": "name"}),
    ("system-topics", 305, {}, {}),
    ("all-groups", 201, {}, {}),
    ("consumer-connections", 203, {"consumerGroup": GROUP}, {"consumerGroup": "name"}),
    ("producer-connections", 204, {"producerGroup": PRODUCERS}, {"producerGroup": "name"}),
    ("consume-stats", 208, {"consumerGroup": GROUP, "topic": BASE},
     {"consumerGroup": "name", "topic": "name"}),
    ("consumed-by", 300, {"topic": BASE}, {"topic": "name"}),
    ("runtime-info", 28, {}, {}),
    ("config", 26, {}, {}),
    ("delete-expired", 329, {}, {}),
]

PULL = {"consumerGroup": GROUP, "topic": BASE, "queueId": "0", "queueOffset": "3", "maxMsgNums": "2",
        "sysFlag": "4", "commitOffset": "1", "suspendTimeoutMillis": "100", "subscription": "*",
        "subVersion": "0", "expressionType": "TAG"}
PULL_KINDS = {"consumerGroup": "name", "topic": "name", "queueId": "int", "queueOffset": "long",
              "maxMsgNums": "int", "sysFlag": "int", "commitOffset": "long",
              "suspendTimeoutMillis": "long", "subscription": "text", "subVersion": "long",
              "expressionType": "text"}
# without the flags that keep a pull which finds nothing
FLAGS = [0, 1, 4, 5, 8, 16, 32, 64, 1 << 30]
SUBSCRIPTIONS = ["*", "a", "a||b", " a || b ", "||", "a||", "|", "*||a", "", "c", "\u00fc"]
SQL = ["n > 3", "n", "", "n >", "TRUE", "n IS NULL", "a = 'b'", "n between 1 and 3"]


def prepare(server):
    """What all cases find: a topic with messages, a group with an offset, clients that are online."""
    server.must(17, {"topic": BASE, "defaultTopic": "TBW102", "readQueueNums": "4", "writeQueueNums": "4",
                     "perm": "6", "topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false"})
    server.must(200, body=b'{"groupName":"%s"}' % GROUP.encode())
    for index in range(MESSAGES):
        properties = f"KEYS\x01k{index} all\x02TAGS\x01{'abc'[index % 3]}\x02n\x01{index}"
        server.must(310, {"a": PRODUCERS, "b": BASE, "c": "TBW102", "d": "4", "e": "0", "f": "0",
                          "g": str(1000 + index), "h": "0", "i": properties, "j": "0"},
                    f"message {index}".encode())
    server.stored(BASE, 0, MESSAGES - 1)
    server.must(15, {"consumerGroup": GROUP, "topic": BASE, "queueId": "0", "commitOffset": "5"})
    online = server.open()
    server.kept.append(online)
    beat = (b'{"clientID":"baseclient","consumerDataSet":[{"groupName":"%s","consumeType":"CONSUME_PASSIVELY",'
            b'"messageModel":"CLUSTERING","consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET",'
            b'"subscriptionDataSet":[{"topic":"%s","subString":"*","subVersion":7}],"unitMode":false}],'
            b'"producerDataSet":[{"groupName":"%s"}]}')
    server.must(34, body=beat % (GROUP.encode(), BASE.encode(), PRODUCERS.encode()), connection=online)


def pulls(random):
    yield from with_prefix("pull", 11, variants(PULL, PULL_KINDS))
    yield from with_prefix("pull", 11, random_variants(PULL, PULL_KINDS, random, 60))
    for flag in FLAGS:
        yield Case(f"pull/flag{flag}", Request(11, {**PULL, "sysFlag": str(flag)}))
        yield Case(f"pull/flag{flag}-new", Request(11, {**PULL, "sysFlag": str(flag), "subVersion": "99"}))
        fields = {**PULL, "sysFlag": str(flag), "consumerGroup": "fresh" + str(flag)}
        yield Case(f"pull/flag{flag}-group", Request(11, fields))
    for offset in ("0", "11", "12", "13", "1000", "-1"):
        yield Case(f"pull/at{offset}", Request(11, {**PULL, "queueOffset": offset}))
        yield Case(f"pull/empty-at{offset}", Request(11, {**PULL, "queueId": "2", "queueOffset": offset}))
    for index, text in enumerate(SUBSCRIPTIONS):
        yield Case(f"pull/tags{index}", Request(11, {**PULL, "queueOffset": "0", "subscription": text}))
    for index, text in enumerate(SQL):
        fields = {**PULL, "queueOffset": "0", "subscription": text, "expressionType": "SQL92"}
        yield Case(f"pull/sql{index}", Request(11, fields))
    for count in ("0", "1", "33", "100000", "-5"):
        yield Case(f"pull/count{count}", Request(11, {**PULL, "queueOffset": "0", "maxMsgNums": count}))
    fields = dict(PULL)
    del fields["subscription"]
    yield Case("pull/no-flag-no-subscription", Request(11, {**fields, "sysFlag": "0"}))
    yield Case("lite-pull/valid", Request(361, PULL))


def cases(random, names):
    for name, code, fields, kinds in QUERIES:
        yield from with_prefix(name, code, variants(fields, kinds))
        yield from with_prefix(name, code, random_variants(fields, kinds, random, 4 if len(kinds) > 1 else 0))
    yield from pulls(random)
    for name, change in (("valid", 0), ("inside", 1), ("far", 1 << 40), ("negative", -(1 << 40))):
        def fields(server, change=change):
            return {"offset": str(server.values["first"] + change)}
        yield Case(f"view/{name}", Request(33, fields), prepare=learn_first)
    for index, odd in enumerate(["", "x", "1.0", "9223372036854775807"]):
        yield Case(f"view/odd{index}={odd!r}", Request(33, {"offset": odd}))
    yield Case("view/missing", Request(33, {}))
    yield Case("view/no-fields", Request(33, None))
    for code in (12345, 0, -1, 343, 351, 700001, 22, 23, 13, 27):
        yield Case(f"code/{code}", Request(code, {}))
    for name, code, fields, _ in QUERIES:
        if code != 28:
            yield Case(f"{name}/binary", Request(code, fields, binary=True))
        for field in fields:
            rest = {other: value for other, value in fields.items() if other != field}
            yield Case(f"{name}/{field}/missing-binary", Request(code, rest, binary=True))
    for field in PULL:
        rest = {other: value for other, value in PULL.items() if other != field}
        yield Case(f"pull/{field}/missing-binary", Request(11, rest, binary=True))


def learn_first(server):
    """Where the first message of the base topic is, from its id in the answer to a send."""
    if "first" not in server.values:
        answer = server.must(310, {"a": PRODUCERS, "b": BASE, "c": "TBW102", "d": "4", "e": "3", "f": "0",
                                   "g": "1", "h": "0", "i": "", "j": "0"}, b"one to view")
        server.stored(BASE, 3, 0)
        server.values["first"] = int(answer.fields["msgId"][-16:], 16)
