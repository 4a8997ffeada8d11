"""What an answer of mqadmin says, without what differs from run to run."""

import json
import re

# Of every output, in this order.
ALWAYS = [
    (r"\b[0-9A-F]{32,}(?![0-9A-F])", "<id>"),
    (r"127\.0\.0\.1:\d+", "<address>"),
    (r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d([:,.]\d+)?", "<time>"),
    (r"\b1[6-9]\d{11}\b", "<ms>"),
    (r"\b\d{17}\b", "<time>"),
    (r"(CommitLog Offset: +|commitLogOffset=|preparedTransactionOffset=)\d+", r"\1<n>"),
    (r"BROKER: <[ab]>|channel <<[ab]>>", "BROKER: <one>"),
    (r"\d+\(ms\)|timeout, \d+", "<n> ms"),
    (r"(storeSize=|physicOffset=|physicSize=|spentTimeMills=)\d+", r"\1<n>"),
    (r"V\d_\d_\d\b(_SNAPSHOT)?", "<version>"),
    (r"CLIENT_INNER_PRODUCER\S*", "CLIENT_INNER_PRODUCER"),
]
# Of objects of Java.
HASH = r"@[0-9a-f]{5,8}\b"
# Places in Java's source.
NOT_SAID = re.compile(r"^\s+at |^\s*\.\.\. \d+ more|^For more information|^See https?://|^SLF4J|^WARNING: |^RocketMQLog")


def lines(text, case, values, file=None):
    """Masked lines; sorted but for a head of a table, for tables of hashes have no order of their own."""
    for name in ("namesrv", "a", "b", "out", "files", "work"):
        text = text.replace(values[name], f"<{name}>")
    found = []
    for line in [*text.splitlines(), *flat("", file)]:
        if NOT_SAID.search(line) or not re.search(case.only_lines or r"\S", line):
            continue
        line = re.sub(HASH, "@<hash>", " ".join(line.split()))
        if case.numbers:
            line = re.sub(r"-?\b\d+(\.\d+)?(E-?\d+)?", "<n>", line)
        for pattern, replacement in [*ALWAYS, *case.masks]:
            line = re.sub(pattern, replacement, line)
        found.append(line.strip())
    head = 1 if found and found[0].startswith("#") else 0
    return found[:head] + sorted(found[head:])


def flat(path, value):
    """A JSON value as lines of paths with their values."""
    if isinstance(value, dict):
        return [line for key, one in value.items() for line in flat(f"{path}.{key}", one)]
    if value is None:
        return []
    if isinstance(value, list):
        value = sorted(value, key=json.dumps)
    # Those count changes that the test did not make, too.
    return [f"{path} = {'<n>' if path.endswith(('.counter', '.stateVersion')) else json.dumps(value)}"]
