"""Differences between two answers, and the list of those that are meant."""

import fnmatch
import json


def flat(value, path=""):
    """Every leaf of nested values by its path."""
    if isinstance(value, dict) and value:
        found = {}
        for name, inner in value.items():
            found.update(flat(inner, f"{path}.{name}" if path else str(name)))
        return found
    if isinstance(value, list) and value:
        found = {}
        for index, inner in enumerate(value):
            found.update(flat(inner, f"{path}[{index}]"))
        return found
    return {path: value}


def differences(java, ringmq):
    """Path, the Java broker's value and RingMQ's, for every leaf that differs."""
    java, ringmq = flat(java), flat(ringmq)
    if java.get("code") != ringmq.get("code"):
        # what comes with another code is another answer; what it left behind counts still
        keep = ("code", "after")
        java = {path: value for path, value in java.items() if path.startswith(keep)}
        ringmq = {path: value for path, value in ringmq.items() if path.startswith(keep)}
    missing = "nothing"
    return [(path, java.get(path, missing), ringmq.get(path, missing))
            for path in sorted({*java, *ringmq}) if java.get(path, missing) != ringmq.get(path, missing)]


class Deliberate:
    """The rows of deliberate.json: patterns of cases and paths, with the reason."""

    def __init__(self, path):
        with open(path) as file:
            self.rows = json.load(file)
        for row in self.rows:
            unknown = set(row) - {"case", "at", "java", "ringmq", "why"}
            if unknown or not row.get("why"):
                raise ValueError(f"{path}: a row needs case, at and why, and has {sorted(row)}")
        self.used = [0] * len(self.rows)

    def covers(self, case, difference):
        found = False
        at, java, ringmq = difference
        for index, row in enumerate(self.rows):
            wanted = [(row["case"], case), (row["at"], at), (row.get("java", "*"), str(java)),
                      (row.get("ringmq", "*"), str(ringmq))]
            if all(matches(pattern, text) for pattern, text in wanted):
                self.used[index] += 1
                found = True
        return found

    def stale(self):
        return [row for row, used in zip(self.rows, self.used) if not used]


def matches(pattern, text):
    """A pattern of fnmatch, of which several may stand behind each other with | between them."""
    return any(fnmatch.fnmatchcase(text, one.replace("[", "[[]")) for one in pattern.split("|"))
