"""The same cases by `ringmq admin`, and what mqadmin's answers would be in its manner.

mqadmin ends with 0 whatever happened and prints where in its source it failed. `ringmq admin` says by its exit
code what happened, and a failure in one line on standard error. So of a failure only the code and its sentence
are compared, and that the exit code fits; of wrong usage only that the exit code says so."""

import os
import re
import subprocess

# Exit codes of `ringmq admin`.
REFUSED, USAGE, NOT_FOUND, UNREACHABLE = 1, 2, 3, 4
# Answers that say that there is no such thing.
NOT_THERE = {"17", "22", "24", "25", "26", "206", "208"}
# What Java prints of one.
EXCEPTION = re.compile(r"(^|Caused by: )([a-z]\w*\.)+\w+(Exception|Error)\b")
FAILURE = re.compile(r"CODE: (\d+) +DESC: (.*?)(?: BROKER: .*)?$")
# Commands to which RocketMQ 5 has added columns.
WIDE = ("clusterList", "consumerProgress")


class Admin:
    """Runs `ringmq admin`, with all columns of these commands."""

    def __init__(self, program, work, wide):
        self.program, self.wide = program, wide
        self.home = os.path.join(work, "admin")
        os.makedirs(self.home, exist_ok=True)
        self.environment = dict(os.environ, HOME=self.home, TZ="UTC")
        for name in ("NAMESRV_ADDR", "ROCKETMQ_HOME"):
            self.environment.pop(name, None)

    def __call__(self, seconds, arguments):
        """The exit code and what was printed; 124 if it went on."""
        if arguments[0] in self.wide:
            arguments = [*arguments, "--output", "wide"]
        process = subprocess.Popen([self.program, "admin", *arguments], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.home,
                                   env=self.environment, text=True, errors="replace")
        try:
            text, _ = process.communicate(timeout=seconds)
            return process.returncode, text
        except subprocess.TimeoutExpired:
            process.kill()
            text, _ = process.communicate()
            return 124, text


def view(result):
    """What of an answer is compared; for mqadmin's own it says what its exit code would be."""
    lines = result["lines"]
    if any(line.startswith("usage: ") for line in lines) and not any("success" in line for line in lines):
        return {"exit": USAGE, "lines": []}
    failures = [FAILURE.search(line) for line in lines]
    failures = [(found.group(1), found.group(2)) for found in failures if found]
    rest = [line for line in lines if not FAILURE.search(line) and not EXCEPTION.search(line)]
    rest += [f"CODE: {code} DESC: {text}" for code, text in failures]
    code = result["exit"]
    if code != 124 and failures:
        number, text = failures[0]
        code = NOT_FOUND if number in NOT_THERE or number == "1" and text.endswith("not exist") else REFUSED
    elif code != 124 and any(EXCEPTION.search(line) for line in lines):
        gone = any(re.search("Remoting(Connect|Timeout)Exception", line) for line in lines)
        code = UNREACHABLE if gone else REFUSED
    return {"exit": code, "lines": tidy(rest)}


def own_view(result, wanted):
    """The same of an answer of `ringmq admin`, beside what is wanted."""
    lines = [re.sub(r"^ringmq admin \w+: (.* answers )?(CODE: \d+) +", r"\2 ", line) for line in result["lines"]]
    if result["exit"] == USAGE:
        lines = []
    if wanted["exit"] not in (0, 124) and not any(line.startswith("CODE: ") for line in wanted["lines"]):
        # mqadmin's own words, which stand in a stack trace
        lines = [line for line in lines if not re.match("ringmq admin|CODE: ", line)]
    # each broker of a cluster is asked, whatever another has answered
    refused = dict.fromkeys(line for line in lines if line.startswith("CODE: "))
    lines = [line for line in lines if not line.startswith("CODE: ")] + list(refused)
    return {"exit": result["exit"], "lines": tidy(lines)}


def tidy(lines):
    """Without what depends on who prints it: how JSON is laid out, in which order a message's properties stand, and
    those that Java's clients add to it."""
    found = []
    for line in lines:
        if re.match(r'"[^"]*" ?:', line):
            line = re.sub(r'^("[^"]*") ?: ?', r"\1:", line).rstrip(",").rstrip("{[ ")
            line = re.sub(r'^"\w+":\{(\d+):', r'"\1":', line)
            line = "" if line.endswith(":") else line
        line = re.sub(r"((?:P|p)roperties(?:: |=)\{)([^}]*)\}", properties, line)
        line = re.sub(r"(but no message)(\.$|: .*)", r"\1", line)
        if not re.fullmatch(r"[{}\[\], ]*", line):
            found.append(line)
    return sorted(found)


def properties(match):
    pairs = [pair for pair in match.group(2).split(", ") if not re.match("MIN_OFFSET|MAX_OFFSET", pair)]
    return match.group(1) + ", ".join(sorted(pairs)) + "}"


def compare(version, official, own, rows, cases, changed):
    """How many cases answer as mqadmin's do on the same server, and those that do not."""
    rows = [row for row in rows if version in row["versions"]]
    used, passed, failed = [], 0, []
    for case in cases:
        if case.name not in own:
            continue
        wanted = view(official[case.name])
        got = own_view(own[case.name], wanted)
        row = next((row for row in rows if re.fullmatch(row["case"], case.name)), None)
        if row is not None:
            used.append(row)
            if same(case.subset, wanted, got):
                failed.append((case.name, ["is as mqadmin's now: take it out of own.json"]))
                continue
            lines = row["lines"] if "lines" in row else changed(wanted["lines"], row)
            wanted = {"exit": row.get("exit", wanted["exit"]), "lines": sorted(lines)}
        if same(case.subset or row is not None and "subset" in row, wanted, got):
            passed += 1
        else:
            failed.append((case.name, difference(wanted, got)))
    failed += [(row["case"], ["stands in own.json, and is no case"]) for row in rows if row not in used]
    return passed, failed


def same(subset, wanted, got):
    if subset:
        return got["exit"] == wanted["exit"] and set(wanted["lines"]) <= set(got["lines"])
    return got == wanted


def difference(wanted, got):
    lines = [f"exit code {got['exit']} instead of {wanted['exit']}"] if got["exit"] != wanted["exit"] else []
    lines += [f"-{line}" for line in left(wanted["lines"], got["lines"])]
    return lines + [f"+{line}" for line in left(got["lines"], wanted["lines"])]


def left(lines, others):
    others = list(others)
    rest = []
    for line in lines:
        if line in others:
            others.remove(line)
        else:
            rest.append(line)
    return rest
