"""The table of docs/COMPATIBILITY.md: what each sub-command does on each server, and `ringmq admin` instead."""

import re

from own import EXCEPTION

BEGIN, END = "<!-- tests/clients/mqadmin/all --docs writes what follows -->\n", "<!-- to here -->\n"


def answered(result):
    """How a command ended: with an answer, or with which refusal."""
    if result["exit"] == 124:
        return "goes on until it is stopped"
    if any(line.startswith("usage: ") for line in result["lines"]) and not any("success" in line for line in result["lines"]):
        return "usage"
    refused = next((line for line in result["lines"] if "CODE: " in line or EXCEPTION.search(line)), None)
    if refused is None:
        return "answer"
    code = re.search(r"CODE: (\d+)", refused)
    return f"code {code.group(1)}" if code else "failure"


def table(commands, found, expected, deliberate, own_deliberate, cases):
    """In Markdown, a row for each of the commands; `found`, `expected` and `cases` by version."""
    notes = {}

    def marks(rows, version, own):
        whys = dict.fromkeys(row["why"] for row in rows for case in own
                             if version in row["versions"] and re.fullmatch(row["case"], case.name))
        return "".join(f" ({notes.setdefault(why, len(notes) + 1)})" for why in whys)

    text = "| sub-command |" + "".join(f" {version} on Java | on RingMQ | `ringmq admin` |" for version in found)
    text += "\n|" + "---|" * (1 + 3 * len(found)) + "\n"
    for command in commands:
        text += f"| {command} |"
        for version, results in found.items():
            own = [case for case in cases[version] if case.command == command]
            if not own:
                text += " | | |"
                continue
            java, here = ([answered(side[case.name]) for case in own] for side in (expected[version], results))
            words = "the same" if here == java else ", ".join(dict.fromkeys(here))
            differs = marks(own_deliberate, version, own)
            text += f" {', '.join(dict.fromkeys(java))} | {words}{marks(deliberate, version, own)} |"
            text += f" differs{differs} |" if differs else " the same |"
        text += "\n"
    return text + "\n" + "".join(f"{number}. {why}\n" for why, number in notes.items())


def replaced(text, new):
    """A document with this table."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + "\n" + new + "\n" + END + rest.split(END)[1]
