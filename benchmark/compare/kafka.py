"""Kafka: one KRaft node and its own performance tools."""

import csv
import re
import subprocess
import time
from pathlib import Path

import wire
from measuring import CpuMeter
from processes import Family, free_ports, maven_jars

HERE = Path(__file__).resolve().parent
PARTITIONS = 4
BATCH_BYTES = 64 * 1024
LINGER_MS = 5
CLUSTER = "4L6g3nShT-eMCtK--X86sw"
LOG4J = """log4j.rootLogger=WARN, stderr
log4j.appender.stderr=org.apache.log4j.ConsoleAppender
log4j.appender.stderr.Target=System.err
log4j.appender.stderr.layout=org.apache.log4j.PatternLayout
log4j.appender.stderr.layout.ConversionPattern=%d %p %c - %m%n
"""
SENT = re.compile(r"([\d.]+) records/sec.*?([\d.]+) ms avg latency.*?(\d+) ms 50th, (\d+) ms 95th, "
                  r"(\d+) ms 99th, (\d+) ms 99.9th")


class Kafka(Family):
    """One node that is broker and controller, with the flags of kafka-run-class.sh."""

    def __init__(self, options):
        super().__init__(options, "kafka")
        port, controller = free_ports(2)
        self.address = f"127.0.0.1:{port}"
        self.controller = f"127.0.0.1:{controller}"
        self.start_seconds = 0.0
        self.process = None

    def start(self):
        (self.folder / "log4j.properties").write_text(LOG4J)
        settings = {
            "process.roles": "broker,controller", "node.id": 1,
            "controller.quorum.voters": f"1@{self.controller}",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://{self.controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": self.folder / "data", "num.partitions": PARTITIONS,
            "offsets.topic.replication.factor": 1, "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1, "group.initial.rebalance.delay.ms": 0}
        text = "".join(f"{key}={value}\n" for key, value in settings.items())
        (self.folder / "server.properties").write_text(text)
        self.run("kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c",
                 self.folder / "server.properties")
        began = time.monotonic()
        heap = self.options.kafka_heap
        words = self.java("kafka.Kafka", f"-Xms{heap}", f"-Xmx{heap}", "-server",
                          "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
                          "-XX:InitiatingHeapOccupancyPercent=35", "-Djava.awt.headless=true")
        self.process = self.spawn([*words, self.folder / "server.properties"],
                                  self.options.server_cores, "kafka.out")
        self.await_that(lambda: wire.connects(self.address), "Kafka", interval=0.05)
        self.start_seconds = time.monotonic() - began

    def java(self, main, *flags):
        version = self.options.kafka_version
        jars = maven_jars(self.options, HERE / "kafka-pom.xml", f"kafka-{version}",
                          "kafka.version", version)
        return ["java", *flags, f"-Dlog4j.configuration=file:{self.folder / 'log4j.properties'}",
                "-cp", f"{jars}/*", main]

    def run(self, main, *words):
        """Runs one of Kafka's tools on the tool's cores: what it prints."""
        command = ["taskset", "-c", self.options.tool_cores,
                   *self.java(main, "-Xms512m", "-Xmx512m", "-XX:+UseG1GC"), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder)
        if done.returncode != 0:
            raise RuntimeError(f"{main} {words}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
                               f"\n{self.logs()}")
        if self.options.verbose:
            print(done.stdout, flush=True)
        return done.stdout

    def create(self, topic, fsync):
        """A topic; with `fsync` every append is flushed before it is acknowledged."""
        flush = ["--config", "flush.messages=1"] if fsync else []
        self.run("org.apache.kafka.tools.TopicCommand", "--bootstrap-server", self.address,
                 "--create", "--topic", topic, "--partitions", PARTITIONS,
                 "--replication-factor", 1, *flush)

    def produce(self, topic, records, size):
        """Sends records in batches as fast as Kafka's client can: figures."""
        with CpuMeter(self.process.pid) as meter:
            text = self.run("org.apache.kafka.tools.ProducerPerformance", "--topic", topic,
                            "--num-records", records, "--record-size", size, "--throughput", -1,
                            "--producer-props", f"bootstrap.servers={self.address}", "acks=1",
                            f"batch.size={BATCH_BYTES}", f"linger.ms={LINGER_MS}")
        found = SENT.search(text.strip().splitlines()[-1])
        if not found:
            raise RuntimeError(f"ProducerPerformance printed no summary:\n{text[-2000:]}")
        rate, _, p50, _, p99, p999 = (float(group) for group in found.groups())
        return {"msg/s": rate, "MB/s": rate * size / 1e6, "p50 us": p50 * 1e3, "p99 us": p99 * 1e3,
                "p99.9 us": p999 * 1e3, "CPU us/msg": meter.each(records),
                "RSS MiB": meter.last.rss_mib, "failed": 0}

    def consume(self, topic, records, size):
        """Reads so many records from the beginning: figures."""
        with CpuMeter(self.process.pid) as meter:
            text = self.run("org.apache.kafka.tools.ConsumerPerformance", "--bootstrap-server",
                            self.address, "--topic", topic, "--messages", records,
                            "--timeout", 20_000)
        lines = [line for line in text.splitlines() if line.count(",") > 5]
        row = {name.strip(): value.strip() for name, value in
               next(csv.DictReader(lines)).items()}
        fetched = float(row["data.consumed.in.nMsg"])
        rate = float(row["fetch.nMsg.sec"])
        return {"msg/s": rate, "MB/s": rate * size / 1e6, "CPU us/msg": meter.each(fetched),
                "RSS MiB": meter.last.rss_mib, "failed": max(0, records - fetched)}
