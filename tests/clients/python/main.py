"""Scenarios of the C++ client, by way of the Python package `rocketmq`, which brings it along.

main.py NAMESRV SCENARIOS: the scenarios are a regular expression of whole names.
"""

import os
import re
import sys
import threading
import time
import traceback
from collections import Counter

from rocketmq.client import Message, Producer, PushConsumer, SendStatus

RUN = format(int(time.time() * 1000), "x")
MESSAGES = 100
WAIT_SECONDS_MAX = 60


class Inbox:
    """Collects bodies; waits until so many different ones are there."""

    def __init__(self, count):
        self.count = count
        self.bodies = Counter()
        self.changed = threading.Condition()

    def add(self, body):
        with self.changed:
            self.bodies[body] += 1
            self.changed.notify_all()

    def holds(self, expected):
        with self.changed:
            full = self.changed.wait_for(lambda: len(self.bodies) >= self.count, WAIT_SECONDS_MAX)
            assert full, f"{len(self.bodies)} of {self.count} messages in {WAIT_SECONDS_MAX} s"
            assert self.bodies == Counter(expected), f"bodies {self.bodies}"


class Context:
    """What a scenario works with; closed when it ends."""

    def __init__(self, namesrv, name):
        self.namesrv = namesrv
        self.name = name
        self.topic = f"TCpp_{name}_{RUN}"
        self.clients = []

    def producer(self):
        producer = Producer(f"P_{self.topic}")
        producer.set_namesrv_addr(self.namesrv)
        producer.start()
        self.clients.append(producer)
        return producer

    def consumer(self, group, on_message, expression="*", orderly=False):
        consumer = PushConsumer(f"G_{self.topic}_{group}", orderly)
        consumer.set_namesrv_addr(self.namesrv)
        consumer.set_instance_name(f"{self.name}-{group}-{RUN}")
        consumer.subscribe(self.topic, on_message, expression)
        consumer.start()
        self.clients.append(consumer)
        return consumer

    def close(self):
        for client in reversed(self.clients):
            client.shutdown()


def message(topic, body, tags="a"):
    made = Message(topic)
    made.set_tags(tags)
    made.set_keys(f"key-{body[:20]}")
    made.set_property("number", str(len(body)))
    made.set_body(body)
    return made


def send(producer, topic, bodies, tags="a"):
    for body in bodies:
        result = producer.send_sync(message(topic, body, tags))
        assert result.status == SendStatus.OK, f"status {result.status}"
        assert result.offset >= 0 and result.msg_id, f"{result}"


def numbered(prefix, count=MESSAGES):
    return [f"{prefix} {number}" for number in range(count)]


def send_and_consume(context):
    bodies = numbered("plain")
    send(context.producer(), context.topic, bodies)
    inbox = Inbox(len(bodies))

    def on_message(got):
        body = got.body.decode()
        assert got.get_property("number") == str(len(body)).encode(), "a property of its own"
        inbox.add(body)

    context.consumer("all", on_message)
    inbox.holds(bodies)


def tags(context):
    producer = context.producer()
    bodies = numbered("wanted", 20)
    send(producer, context.topic, numbered("other", 20), "no")
    send(producer, context.topic, bodies, "yes")
    inbox = Inbox(len(bodies))
    context.consumer("tags", lambda got: inbox.add(got.body.decode()), "yes")
    inbox.holds(bodies)


def large(context):
    # the client refuses more than 131,072 bytes
    body = "x" * 131_000
    send(context.producer(), context.topic, [body])
    inbox = Inbox(1)
    context.consumer("all", lambda got: inbox.add(got.body.decode()))
    inbox.holds([body])


def orderly(context):
    producer = context.producer()
    sent = {key: [f"{key} {number}" for number in range(20)] for key in range(3)}
    for number in range(20):
        for key in sent:
            producer.send_orderly(message(context.topic, sent[key][number]), key)
    seen = {key: [] for key in sent}
    inbox = Inbox(60)

    def on_message(got):
        body = got.body.decode()
        seen[int(body.split()[0])].append(body)
        inbox.add(body)

    context.consumer("orderly", on_message, orderly=True)
    inbox.holds([body for bodies in sent.values() for body in bodies])
    assert seen == sent, f"order {seen}"


def retry(context):
    send(context.producer(), context.topic, ["once", "twice"])
    inbox = Inbox(2)
    tries = Counter()

    def on_message(got):
        body = got.body.decode()
        tries[body] += 1
        if body == "twice" and tries[body] == 1:
            raise ValueError("to be brought again")
        inbox.add(body)

    context.consumer("retry", on_message)
    inbox.holds(["once", "twice"])
    assert tries == Counter({"once": 1, "twice": 2}), f"tries {tries}"


def main():
    namesrv, wanted = sys.argv[1:3]
    passed = failed = 0
    for scenario in (send_and_consume, tags, large, orderly, retry):
        name = scenario.__name__
        if not re.fullmatch(wanted, name):
            continue
        context = Context(namesrv, name)
        began = time.monotonic()
        try:
            scenario(context)
            passed += 1
            print(f"PASS {name} {(time.monotonic() - began) * 1000:.0f}", flush=True)
        except Exception as error:  # a scenario's failure is its result
            failed += 1
            print(f"FAIL {name}: {error}", flush=True)
            traceback.print_exc()
        context.close()
    print(f"{passed} passed, {failed} failed", flush=True)
    # the library's threads may still run
    os._exit(0 if failed == 0 and passed > 0 else 1)


if __name__ == "__main__":
    main()
