"""Differences between two answers, and the list of those that are meant."""

import json
import re


def flat(value, path=""):
    """Every leaf of nested values by its path. Names that begin with _ are not compared."""
    if isinstance(value, dict) and value:
        found = {}
        for name, inner in value.items():
            if str(name).startswith("_"):
                continue
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
    for one in (java, ringmq):
        # nothing at all and an empty object say the same
        one.pop("ext", None)
    return [(path, java.get(path, missing), ringmq.get(path, missing))
            for path in sorted({*java, *ringmq}) if java.get(path, missing) != ringmq.get(path, missing)]


class Deliberate:
    """The rows of deliberate.json: regular expressions of whole names of cases, of paths and of
    the two values, with the reason, which has to stand in `document` as well."""

    def __init__(self, path, document):
        with open(path) as file:
            self.rows = json.load(file)
        with open(document) as file:
            told = file.read()
        for row in self.rows:
            if set(row) - {"case", "at", "java", "ringmq", "why"} or not {"case", "at", "why"} <= set(row):
                raise ValueError(f"{path}: a row needs case, at and why, and has {sorted(row)}")
            if row["why"] not in told:
                raise ValueError(f"{document} does not say what a row of {path} says: {row['why']}")
        self.used = [0] * len(self.rows)

    def covers(self, case, difference):
        """Whether a row stands for a difference; all that do are counted as used."""
        at, java, ringmq = difference
        found = False
        for index, row in enumerate(self.rows):
            wanted = [(row["case"], case), (row["at"], at), (row.get("java", ".*"), str(java)),
                      (row.get("ringmq", ".*"), str(ringmq))]
            if all(re.fullmatch(pattern, text, re.DOTALL) for pattern, text in wanted):
                self.used[index] += 1
                found = True
        return found

    def stale(self):
        return [row for row, used in zip(self.rows, self.used) if not used]
