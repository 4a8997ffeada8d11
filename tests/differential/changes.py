"""Requests that change topics, groups and offsets, and what a consumer gives back."""

import wire
from cases import Case, random_variants, variants
from queries import learn_first
from server import Request

TOPIC_KINDS = {"topic": "name", "defaultTopic": "name", "readQueueNums": "int", "writeQueueNums": "int",
               "perm": "int", "topicFilterType": "text", "topicSysFlag": "int", "order": "bool"}
BACK_KINDS = {"group": "name", "offset": "long", "delayLevel": "int", "originMsgId": "text",
              "originTopic": "text", "unitMode": "bool", "maxReconsumeTimes": "int"}


def topic_fields(topic):
    return {"topic": topic, "defaultTopic": "TBW102", "readQueueNums": "3", "writeQueueNums": "2", "perm": "6",
            "topicFilterType": "SINGLE_TAG", "topicSysFlag": "0", "order": "false"}


def look_at_topics(*topics):
    def run(server, _answer=None):
        table = server.comparable(Request(21), server.call(21))["body"]["topicConfigTable"]
        return {topic: table.get(topic, "absent") for topic in topics}
    return run


def topics(random, names):
    made = [(name, None) for name, _ in variants(topic_fields("x"), TOPIC_KINDS)]
    for index, (name, _) in enumerate(made):
        topic = names.fresh("made")
        fields = list(variants(topic_fields(topic), TOPIC_KINDS))[index][1]
        yield Case(f"update-topic/{name}", Request(17, fields), observe=look_at_topics(topic, "", "nosuch"))
    for index in range(30):
        topic = names.fresh("made")
        _, fields = next(iter(random_variants(topic_fields(topic), TOPIC_KINDS, random, 1)))
        yield Case(f"update-topic/mixed{index}", Request(17, fields), observe=look_at_topics(topic))
    for change in ({"perm": "2"}, {"perm": "4"}, {"perm": "0"}, {"perm": "1"}, {"perm": "7"}, {"perm": "8"},
                   {"readQueueNums": "0"}, {"writeQueueNums": "0"}, {"readQueueNums": "0", "writeQueueNums": "0"},
                   {"topicFilterType": "MULTI_TAG"}, {"topicFilterType": "multi_tag"}, {"order": "true"},
                   {"topicSysFlag": "3"}, {"defaultTopic": "nosuch"}):
        topic = names.fresh("made")
        name = ",".join(f"{key}={value}" for key, value in change.items())
        yield Case(f"update-topic/{name}", Request(17, {**topic_fields(topic), **change}),
                   observe=look_at_topics(topic))
    for topic in ("TBW102", "SCHEDULE_TOPIC_XXXX", "broker-a", "DefaultCluster", "%RETRY%x", "%DLQ%x",
                  "SELF_TEST_TOPIC", "a" * 127, "a" * 128, "a\tb", "a|b", "a^b", "a.b", "-a", "A_b-c"):
        yield Case(f"update-topic/name={topic[:30]!r}-{len(topic)}", Request(17, topic_fields(topic)),
                   observe=look_at_topics(topic))


def deletions(names):
    for name, _ in list(variants({"topic": "x"}, {"topic": "name"})):
        topic = names.fresh("gone")

        def make(server, topic=topic):
            server.must(17, topic_fields(topic))
        fields = dict(variants({"topic": topic}, {"topic": "name"}))[name]
        yield Case(f"delete-topic/{name}", Request(215, fields), make, look_at_topics(topic))
    for topic in ("TBW102", "SCHEDULE_TOPIC_XXXX", "nosuch", "%RETRY%nosuch"):
        yield Case(f"delete-topic/{topic}", Request(215, {"topic": topic}), observe=look_at_topics(topic))
    kinds = {"groupName": "name", "removeOffset": "bool"}
    for name, _ in list(variants({"groupName": "x", "removeOffset": "true"}, kinds)):
        group = names.fresh("gonegroup")

        def make(server, group=group):
            server.must(200, body=b'{"groupName":"%s"}' % group.encode())
            server.must(15, {"consumerGroup": group, "topic": "base", "queueId": "1", "commitOffset": "4"})

        def observe(server, _answer, group=group):
            table = server.comparable(Request(201), server.call(201))["body"]["subscriptionGroupTable"]
            offset = Request(14, {"consumerGroup": group, "topic": "base", "queueId": "1"})
            return {"group": table.get(group, "absent"), "offset": server.comparable(offset, server.ask(offset))}
        fields = dict(variants({"groupName": group, "removeOffset": "true"}, kinds))[name]
        yield Case(f"delete-group/{name}", Request(207, fields), make, observe)


def commits(random, names):
    kinds = {"consumerGroup": "name", "topic": "name", "queueId": "int", "commitOffset": "long"}

    def plain(group):
        return {"consumerGroup": group, "topic": "base", "queueId": "2", "commitOffset": "3"}

    def observe_of(group):
        def observe(server, _answer):
            found = {}
            for topic, queue in (("base", "2"), ("base", "-1"), ("nosuch", "2"), ("base", "1")):
                request = Request(14, {"consumerGroup": group, "topic": topic, "queueId": queue})
                found[f"{topic}{queue}"] = server.comparable(request, server.ask(request))
            return found
        return observe
    for index, (name, _) in enumerate(list(variants(plain("x"), kinds))):
        group = names.fresh("commits")
        fields = list(variants(plain(group), kinds))[index][1]
        yield Case(f"commit/{name}", Request(15, fields), observe=observe_of(group))
    for index in range(20):
        group = names.fresh("commits")
        _, fields = next(iter(random_variants(plain(group), kinds, random, 1)))
        yield Case(f"commit/mixed{index}", Request(15, fields), observe=observe_of(group))


def unregistrations(names):
    kinds = {"clientID": "text", "producerGroup": "name", "consumerGroup": "name"}
    for index, (name, _) in enumerate(list(variants(dict.fromkeys(kinds, "x"), kinds))):
        group, producers = names.fresh("leaves"), names.fresh("leavesproducer")
        fields = list(variants({"clientID": "leaver", "producerGroup": producers, "consumerGroup": group},
                               kinds))[index][1]
        yield Unregistration(f"unregister/{name}", Request(35, fields), group, producers)


class Unregistration(Case):
    """Registers on a connection of its own, and asks while that is still open."""

    def __init__(self, name, request, group, producers):
        super().__init__(name, request)
        self.group, self.producers = group, producers

    def run(self, server):
        connection = server.open()
        beat = (b'{"clientID":"leaver","consumerDataSet":[{"groupName":"%s","consumeType":"CONSUME_PASSIVELY",'
                b'"messageModel":"CLUSTERING","consumeFromWhere":"CONSUME_FROM_FIRST_OFFSET",'
                b'"subscriptionDataSet":[]}],"producerDataSet":[{"groupName":"%s"}]}')
        server.must(34, body=beat % (self.group.encode(), self.producers.encode()), connection=connection)
        found = server.comparable(self.request, server.ask(self.request, connection))
        for code, fields in ((203, {"consumerGroup": self.group}), (204, {"producerGroup": self.producers})):
            request = Request(code, fields)
            found[f"after{code}"] = server.comparable(request, server.ask(request))
        connection.close()
        return found


def backs(random, names):
    def plain(group):
        return {"group": group, "offset": "FIRST", "delayLevel": "1", "originMsgId": "origin",
                "originTopic": "base", "unitMode": "false", "maxReconsumeTimes": "16"}

    def resolved(fields):
        def run(server):
            if fields is None:
                return None
            return {name: value.replace("FIRST", str(server.values.get("first"))) for name, value in fields.items()}
        return run

    def observe_of(group):
        def observe(server, _answer):
            table = server.comparable(Request(201), server.call(201))["body"]["subscriptionGroupTable"]
            return {"group": table.get(group, "absent"), **look_at_topics(f"%RETRY%{group}", f"%DLQ%{group}")(server)}
        return observe

    def late_of(group):
        def late(server):
            return {topic: arrived(server, topic) for topic in (f"%RETRY%{group}", f"%DLQ%{group}")}
        return late
    made = list(variants(plain("x"), BACK_KINDS))
    for index, (name, _) in enumerate(made):
        group = names.fresh("back")
        fields = list(variants(plain(group), BACK_KINDS))[index][1]
        # far levels would come too late to be looked at
        yield Case(f"send-back/{name}", Request(36, resolved(fields)), learn_first, observe_of(group),
                   late=late_of(group))
    for index in range(20):
        group = names.fresh("back")
        _, fields = next(iter(random_variants(plain(group), BACK_KINDS, random, 1)))
        yield Case(f"send-back/mixed{index}", Request(36, resolved(fields)), learn_first, observe_of(group),
                   late=late_of(group))
    for change in ({"delayLevel": "-1"}, {"maxReconsumeTimes": "0"}, {"unitMode": "true"}, {"offset": "0"}):
        group = names.fresh("back")
        name = ",".join(f"{key}={value}" for key, value in change.items())
        yield Case(f"send-back/{name}", Request(36, resolved({**plain(group), **change})), learn_first,
                   observe_of(group), late=late_of(group))
    for name, properties in (("plain", "a\x01b"), ("odd", "a\x01b\x02a\x01c\x02d\x01\x02e"), ("tags", "TAGS\x01t"),
                             ("delay", "DELAY\x011"), ("wait", "WAIT\x01true\x02k\x01v")):
        yield Delayed(f"delayed/{name}", names.fresh("later"), properties)


def arrived(server, topic):
    """The messages in the first queue of a topic that the broker makes, when they have come."""
    answer = server.pull(topic, 0, 0)
    found = wire.records(answer.body) if answer.ok else f"pull answers {answer.outcome}"
    return server.normal(found)


class Delayed(Case):
    """A delayed message, looked at when it has been delivered."""

    def __init__(self, name, topic, properties):
        fields = {"a": "senders", "b": topic, "c": "TBW102", "d": "1", "e": "0", "f": "0", "g": "5", "h": "1",
                  "i": properties if "DELAY" in properties else properties + "\x02DELAY\x011\x02", "j": "0"}
        super().__init__(name, Request(310, fields, b"later"))
        self.late = lambda server: server.normal(server.stored(topic, 0, 0))

    def run(self, server):
        found = super().run(server)
        # where it waits depends on what else waits there
        found["ext"]["queueOffset"] = "any"
        return found


def cases(random, names):
    yield from topics(random, names)
    yield from deletions(names)
    yield from commits(random, names)
    yield from unregistrations(names)
    yield from backs(random, names)
