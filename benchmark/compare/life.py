"""Suites about more than a load: start, restart, rest, many queues, cold readers, shards, the disk."""

import json
import subprocess
import time

import wire
from fio import Fio
from measuring import CpuMeter, figures, fill, say, tool, tool_words
from processes import Usage
from report import Section, number
from servers import java, ring

TOPIC = "Compare"


def idle(options):
    """Start, memory and CPU of a broker that nobody uses."""
    goal = "Goals: start to first request <= 0.1 s; idle CPU < 0.5 % of a core; RSS far below Java's."
    contestants = [each for each in (java(name="java"), ring(name="ring"))
                   if options.only in (None, each.kind)]
    section = Section("idle", goal, [each.name for each in contestants], [("ring", "java")])
    for round_number in range(options.rounds):
        for contestant in contestants:
            with contestant.servers(options) as servers:
                time.sleep(options.settle_seconds)
                with CpuMeter(servers.broker_pid) as meter:
                    time.sleep(options.idle_seconds)
                found = {"start s": servers.start_seconds,
                         "idle CPU %": meter.cpu_us / meter.seconds / 1e4,
                         "RSS MiB": meter.last.rss_mib, "descriptors": meter.last.descriptors}
            add(section, round_number, "at rest", contestant.name, found)
    section.note(f"start: from starting the process to an answer of the broker and a route at the name "
                 f"server; CPU over {options.idle_seconds:g} s.")
    return section


def restart(options):
    """kill -9 with a long log."""
    goal = (f"Goal: from starting the process to the first route and the first pulled message <= 1 s with "
            f"{options.log_gib:g} GiB of log.")
    contestants = [each for each in (java(name="java"), ring(name="ring"))
                   if options.only in (None, each.kind)]
    section = Section("restart", goal, [each.name for each in contestants], [("ring", "java")])
    case = f"kill -9, {options.log_gib:g} GiB"
    for round_number in range(options.rounds):
        for contestant in contestants:
            with contestant.servers(options) as servers:
                found = restart_once(options, servers)
            add(section, round_number, case, contestant.name, found)
    section.note("filled with bodies of 256 KiB, then 32x32 of 128 B until the kill; the pull is from the "
                 "smallest offset of a queue.")
    return section


def restart_once(options, servers):
    size = 256 << 10
    count = int(options.log_gib * 2**30 / size)
    filled = fill(options, servers, ["producer", "-c", 4, "-d", 1, "-s", size, "-q", count, "-t", TOPIC])
    refused = figures(filled)["failed"]
    # Java refuses some when the disk is slow; the log is then a little shorter.
    if refused > count / 20:
        raise RuntimeError(f"{refused} of {count} messages were refused: {filled['failures']}")
    # The log's end is hot when the broker dies, as in life.
    load = subprocess.Popen(tool_words(options, servers, ["producer", "-c", 32, "-d", 32, "-t", "Hot"],
                                       60, 0), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(2)
    servers.kill_broker()
    load.terminate()
    load.wait()
    start = servers.start_broker(TOPIC)
    pulled = [None]

    def pulls():
        pulled[0] = wire.pull(servers.broker, TOPIC, 0, 0)
        return pulled[0] is not None and pulled[0].code == wire.SUCCESS and len(pulled[0].body) > size

    first_pull = servers.await_that(pulls, f"the first message of {TOPIC}")
    sent = servers.await_that(lambda: (wire.send(servers.broker, TOPIC) or pulled[0]).code
                              == wire.SUCCESS, "the first accepted send")
    usage = Usage(servers.broker_pid)
    return {"to route s": start, "to first pull s": start + first_pull,
            "to first send s": start + first_pull + sent, "RSS MiB": usage.rss_mib,
            "RSS peak MiB": usage.rss_peak_mib, "CPU s": usage.cpu_us / 1e6,
            "read MB": usage.read_bytes / 1e6, "refused while filling": refused}


def queues(options):
    """Very many queues against few."""
    topics = options.topics
    goal = f"Goals: msg/s on {topics * 8:,} queues >= 0.8x of that on 8 queues, no refusal."
    few, many = "8 queues", f"{topics * 8:,} queues"
    section = Section("queues", goal, [few, many], [(many, few)])
    for round_number in range(options.rounds):
        for column, count in ((few, 1), (many, topics)):
            if options.only in (None, "ring"):
                with ring("sync").servers(options) as servers:
                    found = many_queues(options, servers, count, {})
                add(section, round_number, "32x32", column, found)
    if options.with_java or options.only == "java":
        queues_of_java(options, section)
    return section


def many_queues(options, servers, topics, found):
    """Creates topics, sends to all of their queues, kills and restarts; puts figures into `found` as
    they come, for not every broker gets to the end."""
    words = ["producer", "-c", 32, "-d", 32, "-t", TOPIC, "--topics", topics, "--queues", 8]
    began = time.monotonic()
    # Twice as many messages as queues, so that hardly a queue stays empty.
    fill(options, servers, [*words, "--create-topics", "-q", topics * 16])
    found["create s"] = time.monotonic() - began
    found.update(figures(tool(options, servers, words, options.duration, options.warmup)))
    found["descriptors"] = Usage(servers.broker_pid).descriptors
    servers.kill_broker()
    last = TOPIC if topics == 1 else f"{TOPIC}-{topics - 1}"
    found["restart s"] = servers.start_broker(last)
    usage = Usage(servers.broker_pid)
    found.update({"restart RSS MiB": usage.rss_mib, "restart descriptors": usage.descriptors})
    return found


def queues_of_java(options, section):
    """Java is tried once, on fewer queues: a note says how far it came."""
    found, end = {}, "it came through"
    try:
        with java("async").servers(options) as servers:
            many_queues(options, servers, options.java_topics, found)
    except (RuntimeError, OSError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        end = f"then it failed: {lines[0][:300]} ... {lines[-1][:300]}"
    words = ", ".join(f"{name} {number(value)}" for name, value in found.items())
    section.note(f"java async with {options.java_topics * 8:,} queues: {words}; {end}.")


def cold(options):
    """Producers at a fixed rate, alone and beside a consumer that sweeps old messages from the disk."""
    goal = "Goal: p99.9 of producers at a fixed rate beside a cold reader <= 2x of the same without."
    alone, beside = "alone", "beside a cold reader"
    section = Section("cold", goal, [alone, beside], [(beside, alone)], hidden=())
    small = {"hotTailBytes": 16 << 20, "blockCacheBytes": 16 << 20}
    contestants = [ring("sync", name="ring", settings=small)]
    if options.with_java:
        contestants.append(java("async", name="java"))
    for round_number in range(options.rounds):
        for contestant in contestants:
            with contestant.servers(options) as servers:
                cold_round(options, section, round_number, contestant, servers)
    section.note(f"{options.cold_gib:g} GiB of 4 KiB bodies; {options.cold_rate:,} messages of 128 B a second "
                 "on 8 connections. RingMQ with hot tail and block cache of 16 MiB each; Java reads from the "
                 "page cache if the memory is larger than the log. Reader and producer share the tool's "
                 "cores: on one core some of the difference is the tool's.")
    return section


def cold_round(options, section, round_number, contestant, servers):
    count = int(options.cold_gib * 2**30 / 4096)
    fill(options, servers, ["producer", "-c", 8, "-d", 8, "-s", 4096, "-q", count, "-t", "Cold"])
    words = ["producer", "-c", 8, "-d", 64, "--rate", options.cold_rate, "-t", "Hot"]
    found = figures(tool(options, servers, words, options.duration, options.warmup))
    add(section, round_number, contestant.name, "alone", found)
    file = servers.folder / "reader.json"
    seconds = options.duration + options.warmup
    reader = ["consumer", "-c", 4, "-B", 32, "--from", "min", "--replay", "-t", "Cold"]
    command = tool_words(options, servers, reader, seconds, 0) + ["--json", str(file)]
    before = Usage(servers.broker_pid)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sweeping:
        report = tool(options, servers, words, options.duration, options.warmup)
        after = Usage(servers.broker_pid)
        sweeping.wait()
    swept = figures(report_of(file))
    found = {**figures(report), "reader msg/s": swept["msg/s"], "reader MB/s": swept["MB/s"],
             "reader failed": swept["failed"],
             "server read MB/s": (after.read_bytes - before.read_bytes) / (after.at - before.at) / 1e6}
    add(section, round_number, contestant.name, "beside a cold reader", found)


def report_of(file):
    return json.loads(file.read_text())[0]


def shards(options):
    """The price of a second shard: half of the messages arrive at the shard that does not own them."""
    goal = "Goal: server CPU a message with two shards <= 1.3x of one."
    cores = options.shard_cores.split(",")
    one, two = "1 shard", "2 shards"
    section = Section("shards", goal, [one, two], [(two, one)])
    loads = [("closed loop 32x32", ["-c", 32, "-d", 32]),
             (f"{options.shard_rate:,} a second",
              ["-c", 32, "-d", 32, "--rate", options.shard_rate])]
    for round_number in range(options.rounds):
        for column, count in ((one, 1), (two, 2)):
            contestant = ring("sync", name=column, cores=",".join(cores[:count]))
            with contestant.servers(options) as servers:
                for case, words in loads:
                    words = ["producer", *words, "-t", TOPIC]
                    report = tool(options, servers, words, options.duration, options.warmup)
                    add(section, round_number, case, column, figures(report))
    if len(set(cores) | set(options.tool_cores.split(","))) < 3:
        section.note("the second shard and the load tool share a core here: only the CPU a message counts.")
    return section


def fio(options):
    """The disk alone."""
    section = Section("fio", "The disk under the stores, sequential O_DIRECT writes of fio; for shares.",
                      ["async", "dsync"], [("dsync", "async")], hidden=())
    for round_number in range(options.rounds):
        with Fio(options) as disk:
            for block in ("4k", "16k", "64k", "256k", "1m"):
                for depth in (1, 2, 16):
                    case = f"{block} x {depth}"
                    add(section, round_number, case, "async", disk.write(block, depth))
                    if depth == 1:
                        add(section, round_number, case, "dsync", disk.write(block, depth, True))
    return section


def add(section, round_number, case, column, found):
    section.add(round_number, case, column, found)
    say(column, case, found)
