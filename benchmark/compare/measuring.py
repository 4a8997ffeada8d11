"""Running the bundled load tool beside a server, and rounds of it for several contestants."""

import json
import subprocess
import time

from blocks import LogWrites
from processes import Disk, Usage
from report import number


def tool(options, servers, words, duration, warmup, nice=0):
    """Runs the load tool once: the report of its first kind of load."""
    report = servers.folder / f"report-{time.monotonic_ns()}.json"
    words = tool_words(options, servers, words, duration, warmup) + ["--json", str(report)]
    done = subprocess.run(["nice", "-n", str(nice), *words], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if not report.exists():
        raise RuntimeError(f"{' '.join(words)}\n{done.stdout}\n{servers.logs()}")
    result = json.loads(report.read_text())[0]
    report.unlink()
    if options.verbose:
        print(done.stdout, flush=True)
    return result


def tool_words(options, servers, words, duration, warmup):
    return ["taskset", "-c", options.tool_cores, *options.tool.split(), *map(str, words),
            "-n", servers.name_server, "--warmup", f"{warmup}s", "--duration", f"{duration}s",
            "--server-pid", str(servers.broker_pid)]


def fill(options, servers, words):
    """Sends a number of messages (`-q`), all of them."""
    return tool(options, servers, words, 0, 0)


def figures(report):
    """The figures of a report of the tool that are compared."""
    latency, server = report["latency_us"], report["server"] or {}
    found = {"msg/s": report["messages_per_second"], "MB/s": report["megabytes_per_second"],
             "p50 us": latency["p50"], "p99 us": latency["p99"], "p99.9 us": latency["p999"],
             "CPU us/msg": server.get("cpu_us_per_message", 0.0),
             "RSS MiB": server.get("rss_mib", 0.0), "RSS peak MiB": server.get("rss_peak_mib", 0.0),
             "tool CPU us/msg": report["tool_cpu_us_per_message"],
             "failed": sum(failure["count"] for failure in report["failures"])
             + report["unanswered"] + report["corrupt"]}
    if report["load"]["rate"]:
        found["behind"] = report["behind"]
        del found["tool CPU us/msg"]
    return found


def run_case(options, servers, case, blocks=False):
    """Runs a case on servers that run: its figures. `blocks`: also how large the log's writes are."""
    topic = ["-t", case.topic]
    if case.fill:
        fill(options, servers, [*case.fill, *topic])
        time.sleep(case.settle)
    before, before_use = Disk(servers.folder), Usage(servers.broker_pid)
    words = [*case.words, *topic]
    if blocks:
        with LogWrites(servers.broker_pid, options.warmup) as writes:
            report = tool(options, servers, words, options.duration, options.warmup)
        found = {**figures(report), **writes.figures()}
    else:
        found = figures(tool(options, servers, words, options.duration, options.warmup))
    found.update(Disk(servers.folder).since(before))
    use = Usage(servers.broker_pid)
    found["server read MB/s"] = (use.read_bytes - before_use.read_bytes) / (use.at - before_use.at) / 1e6
    return found


def compare(options, section, contestants, cases, fresh=False, blocks=False):
    """All cases for each contestant in turn, `--rounds` times. `fresh`: an empty store for each case."""
    for round_number in range(options.rounds):
        print(f"{section.name}: round {round_number + 1} of {options.rounds}", flush=True)
        for contestant in contestants:
            for some in ([[case] for case in cases] if fresh else [cases]):
                with contestant.servers(options) as servers:
                    section.add(round_number, "start", contestant.name,
                                {"start s": servers.start_seconds})
                    for case in some:
                        found = run_case(options, servers, case,
                                         blocks and contestant.kind == "ring")
                        section.add(round_number, case.name, contestant.name, found)
                        say(contestant.name, case.name, found)


def say(contestant, case, found):
    """A line for the terminal."""
    words = "  ".join(f"{name} {number(value)}" for name, value in found.items() if value)
    print(f"  {contestant}, {case}: {words}", flush=True)


class CpuMeter:
    """CPU that a process uses while the `with` runs, and what it holds at the end."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        self.first = Usage(self.pid)
        return self

    def __exit__(self, *_):
        self.last = Usage(self.pid)
        self.seconds = self.last.at - self.first.at
        self.cpu_us = self.last.cpu_us - self.first.cpu_us

    def each(self, messages):
        return self.cpu_us / max(messages, 1)
