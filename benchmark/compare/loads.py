"""Suites that run loads of the bundled tool beside the Java broker, and Kafka's beside Kafka."""

import time

import cases
from fio import Fio
from kafka import Kafka
from measuring import compare, figures, fill, say, tool
from report import Section
from servers import java, ring

PULL_LARGE = 1024
BATCH = 100
BATCH_SIZE = 128
FIO_SIZES = (4096, 16384, 65536)


def chosen(options, *contestants):
    """Those that --only leaves."""
    return [each for each in contestants if options.only in (None, each.kind)]


def simple(options, name, goal, contestants, ratios, loads):
    """A suite of nothing but loads."""
    contestants = chosen(options, *contestants)
    section = Section(name, goal, [each.name for each in contestants], ratios)
    compare(options, section, contestants, loads)
    return section


def send(options):
    """Many small sends: rates, CPU, tails, memory."""
    goal = ("Goals: msg/s at 32x32: ring sync >= 15x java async, ring async >= 20x; server CPU <= 1/15; "
            "p99.9 at 8x8 and 32x32 <= 1/10; RSS <= 1/20.")
    return simple(options, "send", goal, [java("async"), ring("sync"), ring("async")],
                  [("ring sync", "java async"), ("ring async", "java async")],
                  [cases.send(8, 8), cases.send(32, 32)])


def sync(options):
    """Both durable."""
    goal = "Goals: 8x8: msg/s >= 6x, p99.9 <= 1/10; 1x1: p50 <= 0.5x."
    return simple(options, "sync", goal, [java("sync"), ring("sync")], [("ring sync", "java sync")],
                  [cases.send(1, 1), cases.send(8, 8), cases.send(32, 32)])


def latency(options):
    """One request at a time."""
    goal = "Goals: p50 async against async <= 1.1x, sync against sync <= 0.5x."
    return simple(options, "latency", goal,
                  [java("async"), ring("async"), java("sync"), ring("sync")],
                  [("ring async", "java async"), ("ring sync", "java sync")], [cases.send(1, 1)])


def pull(options):
    """Reading what is in memory."""
    goal = "Goals: pulls of 32 messages >= 4x, one by one >= 8x."
    section = simple(options, "pull", goal, [java("async"), ring("sync")],
                     [("ring sync", "java async")], [cases.pull(32), cases.pull(1)])
    read = [value for case in section.cases() for value in
            section.values(case, "server read MB/s", "ring sync") if value is not None]
    if read:
        section.note(f"RingMQ read at most {max(read):.2g} MB/s from the disk meanwhile: all came from the "
                     "hot tail if that is next to nothing.")
    return section


def producers(options):
    """Fifty clients that each send one at a time, or a few, over a connection of their own."""
    return simple(options, "producers", "50 producers, each on its own connection; no goal.",
                  [java("async"), java("sync"), ring("sync"), ring("async")],
                  [("ring sync", "java async"), ("ring sync", "java sync"),
                   ("ring async", "java async")], [cases.send(50, 1), cases.send(50, 8)])


def noise(options):
    """The same server twice: what the ratios of this machine are worth now."""
    options.only = None
    kind = ring if options.noise_of == "ring" else java
    return simple(options, "noise", "The same broker against itself: ratios should be 1.",
                  [kind(name="first"), kind(name="second")], [("second", "first")],
                  [cases.send(1, 1), cases.send(8, 8), cases.send(32, 32)])


def custom(options):
    """The loads of --cases with the flush modes of --ring-flush and --java-flush."""
    contestants = [java(options.java_flush), ring(options.ring_flush)]
    names = [each.name for each in contestants]
    return simple(options, "custom", "Chosen cases.", contestants, [(names[1], names[0])],
                  [cases.NAMED[name] for name in options.cases])


def sizes(options):
    """Sends of each size on an empty store each, and what fio writes with the same blocks."""
    goal = ("Goals at 16 KiB: ring async >= 6x java async in MB/s, >= 50 % of what fio writes. "
            "`share`: MB/s of bodies over fio's MB/s, with blocks of the body's size one at a time; with "
            "blocks of the log's mean write under this load (seen by perf; without it, of the disk's mean "
            "write, which the zero-filling of segments enlarges) one at a time, O_DSYNC for ring sync; "
            "and with 1 MiB, two at a time, the most that this disk takes.")
    contestants = chosen(options, java("async"), ring("async"), ring("sync"))
    section = Section("sizes", goal, [each.name for each in contestants],
                      [("ring async", "java async"), ("ring sync", "java async")], hidden=())
    loads = [cases.of_size(size) for size in options.sizes]
    compare(options, section, contestants, loads, fresh=True, blocks=True)
    columns = [each.name for each in contestants if each.kind == "ring"]
    with Fio(options) as disk:
        for round_number in range(len(section.rounds)):
            add_shares(options, section, disk, round_number, columns)
    return section


def add_shares(options, section, disk, round_number, columns):
    most = disk.write("1m", depth=2)["MB/s"]
    for size in (size for size in options.sizes if size in FIO_SIZES):
        case = cases.of_size(size).name
        same = disk.write(size)["MB/s"]
        for column in columns:
            found = section.rounds[round_number].get(case, {}).get(column)
            if not found:
                continue
            mean = found.get("mean log write KiB", found["mean disk write KiB"])
            block = max(1, round(mean / 4)) * 4096
            like = disk.write(block, dsync=column == "ring sync")["MB/s"]
            shares = {"fio, blocks of the body's size, MB/s": same, "share of it": found["MB/s"] / same,
                      "fio, blocks of the log's size, MB/s": like, "share of that": found["MB/s"] / like,
                      "fio, 1 MiB x 2, MB/s": most, "share of the most": found["MB/s"] / most}
            section.add(round_number, case, column, shares)
            say(column, case, shares)


def reuse(options):
    """Sends into segments that retention gave up, which need no zeros, beside sends into new ones."""
    goal = ("`share`: MB/s of bodies over what fio writes in blocks of 1 MiB, two at a time, in the same round. "
            "Segments of 256 MiB, of which the column `reused` keeps eight; 4 GiB are written before.")
    small = {"mappedFileSizeCommitLog": 256 << 20, "cleanResourceInterval": 500}
    kept = {**small, "retentionBytes": 2 << 30, "spareSegmentsMax": 16}
    contestants = [ring("async", "new segments", settings=small), ring("async", "reused", settings=kept)]
    section = Section("reuse", goal, [each.name for each in contestants], [("reused", "new segments")],
                      hidden=())
    load = cases.filled(cases.of_size(16384), 4 << 30)
    compare(options, section, contestants, [load])
    with Fio(options) as disk:
        for round_number, found in enumerate(section.rounds):
            most = disk.write("1m", depth=2)["MB/s"]
            for column, sends in found[load.name].items():
                sends.update({"fio, 1 MiB x 2, MB/s": most, "share of it": sends["MB/s"] / most})
    return section


def batch(options):
    """Batches of 100 small messages, and large pulls, beside Kafka with and without fsync."""
    goal = ("Goals: server CPU a message of ring sync <= 0.4x kafka fsync, <= 1x kafka. Kafka: batches of "
            "64 KiB, linger 5 ms, acks=1, its own tools, 4 partitions; fsync: flush.messages=1.")
    contestants = chosen(options, ring("sync"), ring("async"))
    if options.with_java:
        # Java gives 32 messages a pull at most unless it is told otherwise.
        large = {"maxTransferCountOnMessageInMemory": PULL_LARGE}
        contestants += chosen(options, java("async", settings=large))
    section = Section("batch", goal, [each.name for each in contestants] + ["kafka", "kafka fsync"],
                      [("ring sync", "kafka fsync"), ("ring sync", "kafka"),
                       ("ring async", "kafka"), ("ring sync", "java async")])
    for round_number in range(options.rounds):
        print(f"batch: round {round_number + 1} of {options.rounds}", flush=True)
        for contestant in contestants:
            with contestant.servers(options) as servers:
                batch_of_ours(options, section, round_number, contestant, servers)
        if options.only is None:
            with Kafka(options) as kafka:
                batch_of_kafka(options, section, round_number, kafka)
    section.note("latencies of Kafka include the time that a record waits for its batch; its consumer "
                 f"reads what was sent, RingMQ's tool pulls up to {PULL_LARGE} messages or 256 KiB at a "
                 "time from the hot tail. Kafka's runs have "
                 f"{options.kafka_records:,} records, after as many others.")
    return section


def batch_of_ours(options, section, round_number, contestant, servers):
    words = ["producer", "-c", 4, "-d", 4, "-s", BATCH_SIZE, "--batch", BATCH, "-t", "Compare-batch"]
    found = figures(tool(options, servers, words, options.duration, options.warmup))
    record(section, round_number, "produce 100 x 128 B", contestant.name, found)
    case = cases.pull(PULL_LARGE)
    fill(options, servers, [*case.fill, "-t", case.topic])
    time.sleep(case.settle)
    words = [*case.words, "-t", case.topic]
    found = figures(tool(options, servers, words, options.duration, options.warmup))
    record(section, round_number, "consume", contestant.name, found)


def batch_of_kafka(options, section, round_number, kafka):
    # Its code is compiled while it runs: it is as fast as it can be only after millions of records.
    kafka.create("warmup", False)
    kafka.produce("warmup", options.kafka_records, BATCH_SIZE)
    kafka.consume("warmup", options.kafka_records, BATCH_SIZE)
    for column, fsync in (("kafka", False), ("kafka fsync", True)):
        topic = column.replace(" ", "-")
        kafka.create(topic, fsync)
        kafka.produce(topic, options.kafka_records // 10, BATCH_SIZE)
        found = kafka.produce(topic, options.kafka_records, BATCH_SIZE)
        record(section, round_number, "produce 100 x 128 B", column, found)
        found = kafka.consume(topic, options.kafka_records, BATCH_SIZE)
        record(section, round_number, "consume", column, found)


def record(section, round_number, case, column, found):
    section.add(round_number, case, column, found)
    say(column, case, found)
