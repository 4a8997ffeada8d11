"""Several requests in a row: what one of them leaves behind for the next."""

import json

import wire
from cases import Case
from changes import look_at_topics, topic_fields
from server import Request


class Flow(Case):
    """Runs a function that asks a server and returns what is compared."""

    def __init__(self, name, run):
        super().__init__(name, None)
        self.flow = run

    def run(self, server):
        return server.normal(self.flow(server))


def heartbeat(client, groups, producers=(), topic="base", **consumer):
    data = {"consumeType": "CONSUME_PASSIVELY", "messageModel": "CLUSTERING",
            "consumeFromWhere": "CONSUME_FROM_LAST_OFFSET", "unitMode": False,
            "subscriptionDataSet": [{"topic": topic, "subString": "*", "subVersion": 1}], **consumer}
    return json.dumps({"clientID": client, "consumerDataSet": [{"groupName": group, **data} for group in groups],
                       "producerDataSet": [{"groupName": group} for group in producers]}).encode()


def asked(server, code, fields=None, body=b"", connection=None, strict=False):
    request = Request(code, fields, body)
    return server.comparable(request, server.ask(request, connection, strict))


def pull_fields(group, topic="base", **changes):
    return {"consumerGroup": group, "topic": topic, "queueId": "0", "queueOffset": "0", "maxMsgNums": "1",
            "sysFlag": "0", "commitOffset": "0", "suspendTimeoutMillis": "0", "subVersion": "0", **changes}


def group_that_may_not_be_made(server):
    """autoCreateSubscriptionGroup=false: the client is registered, its pulls are refused until the
    group is there, and then go at once."""
    connection = server.open(True)
    fresh = server.must(17, topic_fields("strictbase"), strict=True) and "strictgroup"
    found = {"beat": asked(server, 34, body=heartbeat("strictclient", [fresh], ["strictproducer"], "strictbase"),
                           connection=connection)}
    found["ids"] = asked(server, 38, {"consumerGroup": fresh}, strict=True)
    found["connections"] = asked(server, 203, {"consumerGroup": fresh}, strict=True)
    found["producers"] = asked(server, 204, {"producerGroup": "strictproducer"}, strict=True)
    found["pull"] = asked(server, 11, pull_fields(fresh, "strictbase"), connection=connection)
    found["topics"] = list(topics_of(server, True, f"%RETRY%{fresh}"))
    found["back"] = asked(server, 36, {"group": fresh, "offset": "0", "delayLevel": "1"}, strict=True)
    found["create"] = asked(server, 200, body=b'{"groupName":"%s"}' % fresh.encode(), strict=True)
    found["pull then"] = asked(server, 11, pull_fields(fresh, "strictbase"), connection=connection)
    found["beat then"] = asked(server, 34, body=heartbeat("strictclient", [fresh], [], "strictbase"),
                               connection=connection)
    found["topics then"] = list(topics_of(server, True, f"%RETRY%{fresh}"))
    connection.close()
    return found


def topics_of(server, strict, *wanted):
    table = server.comparable(Request(21), server.call(21, strict=strict))["body"]["topicConfigTable"]
    return [topic for topic in wanted if topic in table]


def strict_sends(server):
    """autoCreateTopicEnable=false."""
    found = {}
    for name, topic in (("new", "strictnew"), ("retry", "%RETRY%strictnone"), ("dlq", "%DLQ%strictnone")):
        fields = {"a": "p", "b": topic, "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": "1", "h": "0", "i": ""}
        found[name] = asked(server, 310, fields, b"x", strict=True)
    found["topics"] = list(topics_of(server, True, "strictnew", "%RETRY%strictnone", "%DLQ%strictnone", "TBW102"))
    return found


def shrunken_topic(server):
    """A topic with fewer queues than before still tells what the others have."""
    server.must(17, {**topic_fields("shrinks"), "readQueueNums": "8", "writeQueueNums": "8"})
    for queue in range(8):
        fields = {"a": "p", "b": "shrinks", "c": "TBW102", "d": "4", "e": str(queue), "f": "0", "g": "1", "h": "0",
                  "i": ""}
        server.must(310, fields, b"x")
        server.stored("shrinks", queue, 0)
    server.must(17, {**topic_fields("shrinks"), "readQueueNums": "2", "writeQueueNums": "2"})
    found = {}
    for queue in ("0", "1", "2", "7", "8", "-1"):
        fields = {"topic": "shrinks", "queueId": queue}
        for code in (30, 31, 32):
            found[f"{code} of {queue}"] = asked(server, code, fields)
        found[f"29 of {queue}"] = asked(server, 29, {**fields, "timestamp": "0"})
        found[f"14 of {queue}"] = asked(server, 14, {**fields, "consumerGroup": "shrinkgroup"})
        found[f"pull of {queue}"] = asked(server, 11, pull_fields("observer", "shrinks", queueId=queue, sysFlag="4",
                                                                  subscription="*"))
    found["stats"] = asked(server, 202, {"topic": "shrinks"})
    server.must(15, {"consumerGroup": "shrinkgroup", "topic": "shrinks", "queueId": "7", "commitOffset": "1"})
    found["consumed"] = asked(server, 208, {"consumerGroup": "shrinkgroup"})
    return found


def one_client_twice(server):
    """Two connections of one client id."""
    connections = [server.open(), server.open()]
    found = {}
    for index, connection in enumerate(connections):
        found[f"beat{index}"] = asked(server, 34, body=heartbeat("twin", ["twingroup"], ["twinproducer"]),
                                      connection=connection)
        for code, fields in ((38, {"consumerGroup": "twingroup"}), (203, {"consumerGroup": "twingroup"}),
                             (204, {"producerGroup": "twinproducer"})):
            found[f"{code} after {index}"] = asked(server, code, fields)
    found["leave"] = asked(server, 35, {"clientID": "twin", "consumerGroup": "twingroup"}, connection=connections[1])
    found["38 after leaving"] = asked(server, 38, {"consumerGroup": "twingroup"})
    for connection in connections:
        connection.close()
    return found


def many_subscriptions(server):
    """More topics than most groups have."""
    topics = [{"topic": f"many{index}", "subString": "*", "subVersion": 1} for index in range(6000)]
    connection = server.open()
    body = heartbeat("manyclient", ["manygroup"], subscriptionDataSet=topics)
    found = {"beat": asked(server, 34, body=body, connection=connection)}
    listed = server.call(203, {"consumerGroup": "manygroup"})
    found["topics"] = len((wire.parse_json(listed.body) or {}).get("subscriptionTable", {}))
    connection.close()
    return found


def versions_of_subscriptions(server):
    """Heartbeats with older and newer subscriptions, fewer topics, and another model."""
    connection = server.open()
    found = {}
    steps = [
        ("first", [("base", "a", 5), ("other", "*", 5)], {}),
        ("older", [("base", "b", 4)], {}),
        ("same", [("base", "c", 5)], {}),
        ("newer", [("base", "b", 6)], {}),
        ("model", [("base", "b", 6)], {"messageModel": "BROADCASTING"}),
        ("where", [("base", "b", 6)], {"consumeFromWhere": "CONSUME_FROM_TIMESTAMP"}),
        ("none", [], {}),
        ("twice", [("base", "a", 9), ("base", "b", 8)], {}),
    ]
    for name, subscriptions, changes in steps:
        data = [{"topic": topic, "subString": text, "subVersion": version, "codeSet": [ord(text[0])],
                 "tagsSet": [text]} for topic, text, version in subscriptions]
        body = heartbeat("versions", ["versionsgroup"], subscriptionDataSet=data, **changes)
        found[f"{name} beat"] = asked(server, 34, body=body, connection=connection)
        found[name] = asked(server, 203, {"consumerGroup": "versionsgroup"})
        found[f"{name} pull"] = asked(server, 11, pull_fields("versionsgroup", maxMsgNums="32"))
    connection.close()
    return found


def closed_client(server):
    """A client whose connection closes is forgotten."""
    connection = server.open()
    asked(server, 34, body=heartbeat("closes", ["closegroup"], ["closeproducer"]), connection=connection)
    connection.close()
    found = {}
    for code, fields in ((38, {"consumerGroup": "closegroup"}), (204, {"producerGroup": "closeproducer"})):
        for _ in range(500):
            found[str(code)] = asked(server, code, fields)
            if found[str(code)]["code"] != 0:
                break
    return found


def group_settings(server):
    """What a group's settings forbid."""
    found = {}
    server.must(200, body=b'{"groupName":"nogroup","consumeEnable":false,"retryQueueNums":0}')
    found["pull"] = asked(server, 11, pull_fields("nogroup", sysFlag="4", subscription="*"))
    found["back"] = asked(server, 36, {"group": "nogroup", "offset": "0", "delayLevel": "1"})
    server.must(200, body=b'{"groupName":"nocast","consumeBroadcastEnable":false}')
    connection = server.open()
    body = heartbeat("castclient", ["nocast"], messageModel="BROADCASTING")
    found["beat"] = asked(server, 34, body=body, connection=connection)
    found["cast"] = asked(server, 11, pull_fields("nocast"))
    connection.close()
    return found


def deleted_topic(server):
    """A topic that is gone: what it had is not there. Its consumer offsets Java drops some time later."""
    server.must(17, topic_fields("dies"))
    send = {"a": "p", "b": "dies", "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": "1", "h": "0", "i": ""}
    server.must(310, send, b"x")
    server.stored("dies", 0, 0)
    found = {"delete": asked(server, 215, {"topic": "dies"})}
    found["pull"] = asked(server, 11, pull_fields("observer", "dies", sysFlag="4", subscription="*"))
    found["stats"] = asked(server, 202, {"topic": "dies"})
    found["topics"] = look_at_topics("dies")(server)
    return found


FLOWS = [group_that_may_not_be_made, strict_sends, shrunken_topic, one_client_twice, many_subscriptions,
         versions_of_subscriptions, closed_client, group_settings, deleted_topic]


def cases(_random, _names):
    for flow in FLOWS:
        yield Flow(f"flow/{flow.__name__}", flow)
