"""The few requests of RocketMQ's protocol that the comparison sends itself: enough to see that a
server serves. One connection a request, JSON headers."""

import json
import socket

GET_ROUTE = 105
GET_MAX_OFFSET = 30
PULL_MESSAGE = 11
SEND_MESSAGE = 10
SUCCESS = 0
# sysFlag of a pull: the subscription is in the request, the broker must not hold it.
SUBSCRIPTION = 4


class Answer:
    """Code, fields and body of a response."""

    def __init__(self, frame):
        length = int.from_bytes(frame[:4], "big") & 0xFFFFFF
        header = json.loads(frame[4:4 + length])
        self.code = header.get("code", 0)
        self.remark = header.get("remark")
        self.fields = header.get("extFields") or {}
        self.body = frame[4 + length:]


def call(address, code, fields, body=b"", timeout=2.0):
    """Sends one request and returns its answer, or None when nobody answers."""
    header = json.dumps({"code": code, "flag": 0, "language": "JAVA", "opaque": 1, "version": 407,
                         "extFields": fields}).encode()
    frame = len(header).to_bytes(4, "big") + header + body
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout) as connection:
            connection.sendall(len(frame).to_bytes(4, "big") + frame)
            stream = connection.makefile("rb")
            prefix = stream.read(4)
            length = int.from_bytes(prefix, "big")
            frame = stream.read(length)
        return Answer(frame) if len(prefix) == 4 and len(frame) == length else None
    except (OSError, ValueError):
        return None


def has_route(name_server, topic):
    """Whether the name server knows a broker for the topic."""
    answer = call(name_server, GET_ROUTE, {"topic": topic})
    return answer is not None and answer.code == SUCCESS


def answers(broker):
    """Whether the broker answers a request, whatever it says."""
    return call(broker, GET_MAX_OFFSET, {"topic": "TBW102", "queueId": "0"}) is not None


def send(broker, topic, body=b"a message"):
    """Sends one message: the answer, or None."""
    fields = {"producerGroup": "compare", "topic": topic, "defaultTopic": "TBW102",
              "defaultTopicQueueNums": "4", "queueId": "0", "sysFlag": "0",
              "bornTimestamp": "1700000000000", "flag": "0", "properties": "WAIT\x01true",
              "reconsumeTimes": "0", "unitMode": "false", "batch": "false"}
    return call(broker, SEND_MESSAGE, fields, body)


def pull(broker, topic, queue, offset):
    """Pulls up to 32 messages from an offset: the answer, or None."""
    fields = {"consumerGroup": "compare_consumer", "topic": topic, "queueId": str(queue),
              "queueOffset": str(offset), "maxMsgNums": "32", "sysFlag": str(SUBSCRIPTION),
              "commitOffset": "0", "suspendTimeoutMillis": "0", "subscription": "*",
              "subVersion": "0", "expressionType": "TAG"}
    return call(broker, PULL_MESSAGE, fields)


def connects(address):
    """Whether somebody listens."""
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), 1).close()
        return True
    except OSError:
        return False
