#!/usr/bin/env python3
"""Measures RingMQ, beside the Java broker and Kafka: same core, same load, in turn, several rounds.

Needs java (17), mvn for the first run, taskset, fio for the suites sizes and fio, and the built
`ringmq`. Examples:

    benchmark/compare/compare.py --suite send,latency
    benchmark/compare/compare.py --suite all --rounds 5
    benchmark/compare/compare.py --cases 8x8,pull32 --ring-flush sync --java-flush sync

The server runs on core 0 and the load on core 1 (--server-cores, --tool-cores). Each round starts each
server on an empty store, warms it up and measures. A ratio compares servers that ran one right after
the other. Each suite writes SUITE.json and SUITE.md into --output. Suites:

"""

import argparse
import os
import platform
import signal
import sys
import time
import traceback
from pathlib import Path

import cases
import features
import life
import loads
import report

ROOT = Path(__file__).resolve().parents[2]
SUITES = {
    "send": loads.send, "sync": loads.sync, "latency": loads.latency, "pull": loads.pull,
    "batch": loads.batch, "sizes": loads.sizes, "reuse": loads.reuse, "producers": loads.producers,
    "queues": life.queues, "cold": life.cold, "restart": life.restart, "shards": life.shards,
    "idle": life.idle, "features": features.features, "fio": life.fio, "noise": loads.noise,
}
# Not part of `all`: it says something about the machine.
EXTRA = ("noise",)


def parse(arguments):
    """The command line."""
    text = __doc__ + "".join(f"    {name:10} {function.__doc__.strip()}\n"
                             for name, function in SUITES.items())
    parser = argparse.ArgumentParser(description=text,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--suite", help=f"of {', '.join(SUITES)}, several with commas, or all (but noise)")
    add("--cases", help=f"instead of a suite: of {', '.join(cases.NAMED)}, or all")
    add("--ring-flush", choices=["sync", "async"], default="sync", help="with --cases")
    add("--java-flush", choices=["sync", "async"], default="async", help="with --cases")
    add("--rounds", type=int, default=3)
    add("--duration", type=float, default=10, help="measured seconds a case")
    add("--warmup", type=float, default=5, help="seconds a case before measuring")
    add("--only", choices=["java", "ring"], help="run only this broker")
    add("--with-java", action="store_true", help="Java too in queues, cold and batch")
    add("--ringmq", default=str(ROOT / "target" / "release" / "ringmq"))
    add("--tool", help="load tool; default: the ringmq of --ringmq with `bench`")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="a key of the RingMQ broker")
    add("--java-heap", default="4g")
    add("--java-version", default="4.9.7")
    add("--kafka-heap", default="1g")
    add("--kafka-version", default="3.9.1")
    add("--server-cores", default="0")
    add("--tool-cores", default="1")
    add("--patience", type=float, default=180, help="seconds for a server to start")
    add("--work", default=str(ROOT / "target" / "compare"), help="stores, jars; no memory file system")
    add("--free-gib", type=float, default=32, help="refuse to start with less free disk")
    add("--output", default=str(ROOT / "target" / "compare" / "results"), help="a folder")
    add("--keep", action="store_true", help="keep stores and logs")
    add("--verbose", action="store_true", help="show what the load tools print")
    add_of_suites(parser.add_argument_group("of single suites").add_argument)
    options = parser.parse_args(arguments)
    finish(parser, options)
    return options


def add_of_suites(add):
    add("--sizes", default=",".join(map(str, cases.SIZES)), help="sizes: bytes of bodies")
    add("--fio-seconds", type=float, default=5, help="sizes, fio: seconds a run")
    add("--kafka-records", type=int, default=4_000_000, help="batch: records of each run of Kafka")
    add("--topics", type=int, default=10_000, help="queues: topics of 8 queues")
    add("--java-topics", type=int, default=5_000, help="queues with Java: topics of 8 queues")
    add("--log-gib", type=float, default=8, help="restart: GiB of log")
    add("--cold-gib", type=float, default=4, help="cold: GiB to sweep")
    add("--cold-rate", type=int, default=20_000, help="cold: messages a second")
    add("--shard-cores", default="0,1", help="shards: the two cores")
    add("--shard-rate", type=int, default=50_000, help="shards: messages a second")
    add("--idle-seconds", type=float, default=20, help="idle: measured seconds")
    add("--settle-seconds", type=float, default=5, help="idle: seconds before")
    add("--noise-of", choices=["java", "ring"], default="java", help="noise: which broker")


def finish(parser, options):
    """Checks names and fills in what depends on other options."""
    options.sizes = [int(size) for size in options.sizes.split(",")]
    unknown = set(options.sizes) - set(cases.SIZES)
    if unknown:
        parser.error(f"no such size: {sorted(unknown)}; there are {list(cases.SIZES)}")
    if options.suite and options.cases:
        parser.error("--suite and --cases exclude each other")
    if options.cases:
        options.cases = list(cases.NAMED) if options.cases == "all" else options.cases.split(",")
        unknown = set(options.cases) - set(cases.NAMED)
        options.suites = {"custom": loads.custom}
    else:
        names = options.suite or "send"
        every = [name for name in SUITES if name not in EXTRA]
        names = every if names == "all" else names.split(",")
        unknown = set(names) - set(SUITES)
        options.suites = {name: SUITES.get(name) for name in names}
    if unknown:
        parser.error(f"no such name: {', '.join(sorted(unknown))}")
    options.tool = options.tool or f"{options.ringmq} bench"
    if not os.access(options.ringmq, os.X_OK):
        parser.error(f"{options.ringmq} is no program: cargo build --release, or see --ringmq")


class Machine:
    """What else went on: the share of CPU time that the host took away, and the load."""

    def __init__(self):
        self.before = self.times()

    @staticmethod
    def times():
        with open("/proc/stat", encoding="ascii") as lines:
            return [int(field) for field in lines.readline().split()[1:9]]

    def text(self):
        spent = [after - before for before, after in zip(self.before, self.times())]
        stolen = 100 * spent[7] / max(sum(spent), 1)
        return (f"During the suite the host took {stolen:.1f} % of the CPU time; load average at its end "
                f"{os.getloadavg()[1]:.1f} (one server and one tool make 2 at most).")


def conditions(options):
    """What belongs below every table."""
    with open("/proc/cpuinfo", encoding="ascii") as lines:
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")),
                     platform.machine())
    return (f"Server on core {options.server_cores}, load on core {options.tool_cores} of "
            f"{os.cpu_count()} ({model}), Linux {platform.release()}, "
            f"{time.strftime('%Y-%m-%d %H:%M')}; {options.rounds} rounds of {options.duration:g} s "
            f"after {options.warmup:g} s; Java {options.java_version} with a heap of "
            f"{options.java_heap}.")


def main():
    # Ends through the clean-up of `with`, as control-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = parse(sys.argv[1:])
    # The script polls servers that start: it must not do that on their core.
    os.sched_setaffinity(0, [int(core) for core in options.tool_cores.split(",")])
    failed = []
    for name, suite in options.suites.items():
        machine = Machine()
        try:
            section = suite(options)
        except (RuntimeError, OSError, ValueError, KeyError):
            # The other suites can still tell something.
            traceback.print_exc()
            failed.append(name)
            continue
        path = report.write(options.output, section, options,
                            f"{conditions(options)} {machine.text()}")
        print(f"\n{section.markdown()}\nwritten: {path}\n", flush=True)
    if failed:
        sys.exit(f"these suites failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
