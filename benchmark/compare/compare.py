#!/usr/bin/env python3
"""Compares RingMQ with the Java broker: same core, same load, in turn, several rounds.

Needs java (17), mvn for the first run, taskset, and the built `ringmq`. Example:

    benchmark/compare/compare.py --cases 1x1,8x8,32x32 --rounds 3 --ring-flush sync --java-flush async

The server runs on core 0 and the generator on core 1 (--server-cores, --tool-cores). Each round starts
each server on an empty store, warms it up and measures each case. Figures: messages a second, latency,
CPU time of the server a message over the measured time, resident memory. The ratio of a round compares
servers that ran one right after the other.
"""

import argparse
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
WORK = ROOT / "target" / "compare"
OPENS = ["java.base/java.nio", "java.base/sun.nio.ch", "java.base/java.lang", "java.base/java.util",
         "java.base/jdk.internal.ref", "java.base/jdk.internal.misc"]
LOGBACK = """<?xml version="1.0" encoding="UTF-8"?>
<configuration>
  <appender name="FILE" class="ch.qos.logback.core.FileAppender">
    <file>{file}</file>
    <encoder><pattern>%d %p %t - %m%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="FILE"/></root>
</configuration>
"""


def send_case(connections, depth, size=128, batch=1, extra=()):
    """A load of the producer."""
    words = ["producer", "-c", str(connections), "-d", str(depth), "-s", str(size), *extra]
    return {"words": words + (["--batch", str(batch)] if batch > 1 else []), "fill": 0}


def pull_case(pull_batch):
    """A load of the consumer on queues that are filled first; at the end it begins again."""
    words = ["consumer", "-c", "4", "-B", str(pull_batch), "--from", "min", "--replay"]
    return {"words": words, "fill": 400_000}


CASES = {
    "1x1": send_case(1, 1),
    "8x8": send_case(8, 8),
    "32x32": send_case(32, 32),
    "1k": send_case(16, 8, 1024),
    "16k": send_case(16, 8, 16384),
    "batch": send_case(4, 4, 128, 100),
    "pull32": pull_case(32),
    "pull1": pull_case(1),
}


class Servers:
    """A name server and a broker of one kind; always stopped by their process ids."""

    def __init__(self, options, side):
        self.options = options
        self.side = side
        self.processes = []
        self.folder = Path(tempfile.mkdtemp(prefix=f"{side}-", dir=WORK))
        self.name_server = ""
        self.broker_pid = 0
        self.start_seconds = 0.0

    def __enter__(self):
        try:
            begin = time.monotonic()
            (self.start_java if self.side.startswith("java") else self.start_ring)()
            self.await_route()
            self.start_seconds = time.monotonic() - begin
            return self
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()

    def start_ring(self):
        options = self.options
        name_port, port = free_ports(2)
        self.name_server = f"127.0.0.1:{name_port}"
        log = self.folder / "ring.log"
        self.write("namesrv.conf", {"listenPort": name_port,
                                    "kvConfigPath": self.folder / "namesrv" / "kvConfig.json"})
        self.spawn([options.ringmq, "namesrv", "-c", str(self.folder / "namesrv.conf")],
                   options.tool_cores, log)
        self.await_port(name_port)
        self.write("broker.conf", self.broker_settings(port, options.ring_flush))
        words = [options.ringmq, "broker", "-n", self.name_server, "-c",
                 str(self.folder / "broker.conf"), "--cores", options.server_cores]
        self.broker_pid = self.spawn(words, options.server_cores, log)

    def start_java(self):
        options = self.options
        name_port, port = free_ports(2)
        self.name_server = f"127.0.0.1:{name_port}"
        conf = self.folder / "conf"
        conf.mkdir()
        for name in ("namesrv", "broker", "tools"):
            text = LOGBACK.format(file=self.folder / f"{name}.log")
            (conf / f"logback_{name}.xml").write_text(text)
        home = {"ROCKETMQ_HOME": str(self.folder)}
        jars = java_jars(options.java_version)
        common = [f"-Duser.home={self.folder}", "-cp", f"{conf}:{jars}/*"]
        for package in OPENS:
            common = ["--add-opens", f"{package}=ALL-UNNAMED", *common]
        self.write("namesrv.conf", {"listenPort": name_port,
                                    "kvConfigPath": self.folder / "namesrv" / "kvConfig.json"})
        self.spawn(["java", "-Xms256m", "-Xmx256m", *common,
                    "org.apache.rocketmq.namesrv.NamesrvStartup", "-c",
                    str(self.folder / "namesrv.conf")],
                   options.tool_cores, self.folder / "namesrv.out", home)
        self.await_port(name_port)
        self.write("broker.conf", self.broker_settings(port, options.java_flush))
        heap = options.java_heap
        flags = ["-server", f"-Xms{heap}", f"-Xmx{heap}", "-XX:+UseG1GC", "-XX:G1HeapRegionSize=16m",
                 "-XX:G1ReservePercent=25", "-XX:InitiatingHeapOccupancyPercent=30",
                 "-XX:SoftRefLRUPolicyMSPerMB=0", "-XX:-OmitStackTraceInFastThrow",
                 "-XX:+AlwaysPreTouch", "-XX:MaxDirectMemorySize=15g", "-XX:-UseLargePages"]
        self.broker_pid = self.spawn(["java", *flags, *common,
                                      "org.apache.rocketmq.broker.BrokerStartup", "-n",
                                      self.name_server, "-c", str(self.folder / "broker.conf")],
                                     options.server_cores, self.folder / "broker.out", home)

    def broker_settings(self, port, flush):
        store = self.folder / "store"
        return {"brokerClusterName": "DefaultCluster", "brokerName": "broker-a", "brokerId": 0,
                "brokerIP1": "127.0.0.1", "listenPort": port, "namesrvAddr": self.name_server,
                "haListenPort": free_ports(1)[0],
                "storePathRootDir": store, "storePathCommitLog": store / "commitlog",
                "flushDiskType": "SYNC_FLUSH" if flush == "sync" else "ASYNC_FLUSH",
                "brokerRole": "ASYNC_MASTER", "autoCreateTopicEnable": "true",
                "defaultTopicQueueNums": 8, "diskMaxUsedSpaceRatio": 95}

    def write(self, name, settings):
        text = "".join(f"{key}={value}\n" for key, value in settings.items())
        (self.folder / name).write_text(text)

    def spawn(self, words, cores, log, environment=None):
        with open(log, "ab") as output:
            process = subprocess.Popen(["taskset", "-c", cores, *map(str, words)], stdout=output,
                                       stderr=output, stdin=subprocess.DEVNULL, cwd=self.folder,
                                       env={**os.environ, **(environment or {})})
        self.processes.append(process)
        return process.pid

    def await_port(self, port):
        self.await_that(lambda: connects(port), f"the name server on port {port}")

    def await_route(self):
        host, port = self.name_server.split(":")
        self.await_that(lambda: has_route(host, int(port), "TBW102"), "the route of TBW102")

    def await_that(self, condition, what):
        deadline = time.monotonic() + self.options.patience
        while not condition():
            for process in self.processes:
                if process.poll() is not None:
                    raise RuntimeError(f"{self.side}: process {process.args} ended with "
                                       f"{process.returncode}\n{self.logs()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.side}: {what} did not come within "
                                   f"{self.options.patience} s\n{self.logs()}")
            time.sleep(0.05)

    def logs(self):
        lines = []
        for file in sorted([*self.folder.glob("*.out"), *self.folder.glob("*.log")]):
            tail = file.read_text(errors="replace").splitlines()[-20:]
            lines += [f"--- {file.name}", *tail]
        return "\n".join(lines)

    def stop(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()
        if not self.options.keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def free_ports(count):
    """Ports that are free now with their neighbours: the VIP port below and the HA port above. Out of
    the range from which the system itself gives ports to connections."""
    ports = []
    while len(ports) < count:
        port = random.randrange(15_000, 30_000)
        if any(abs(port - other) <= 4 for other in ports):
            continue
        sockets = []
        try:
            for neighbour in (port - 2, port, port + 1):
                sockets.append(socket.socket())
                sockets[-1].bind(("127.0.0.1", neighbour))
            ports.append(port)
        except OSError:
            pass
        finally:
            for each in sockets:
                each.close()
    return ports


def connects(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def has_route(host, port, topic):
    """Asks the name server for a route (request 105)."""
    header = json.dumps({"code": 105, "flag": 0, "language": "JAVA", "opaque": 1, "version": 407,
                         "extFields": {"topic": topic}}).encode()
    frame = len(header).to_bytes(4, "big") + header
    try:
        with socket.create_connection((host, port), 2) as connection:
            connection.sendall(len(frame).to_bytes(4, "big") + frame)
            stream = connection.makefile("rb")
            frame = stream.read(int.from_bytes(stream.read(4), "big"))
        length = int.from_bytes(frame[:4], "big") & 0xFFFFFF
        return json.loads(frame[4:4 + length]).get("code", 0) == 0
    except (OSError, ValueError):
        return False


def java_jars(version):
    """Folder of the Java servers' jars, fetched by Maven once."""
    folder = WORK / f"jars-{version}"
    if not list(folder.glob("rocketmq-broker-*.jar")):
        print(f"fetching the jars of RocketMQ {version} ...", flush=True)
        subprocess.run(["mvn", "-q", "-B", "-f", HERE / "pom.xml", f"-Drocketmq.version={version}",
                        "dependency:copy-dependencies", f"-DoutputDirectory={folder}"], check=True)
    return folder


def tool(options, servers, words, duration, warmup):
    """Runs the load tool once and returns its report."""
    report = servers.folder / "report.json"
    command = ["taskset", "-c", options.tool_cores, *options.tool.split(), *words,
               "-n", servers.name_server, "--warmup", f"{warmup}s", "--duration", f"{duration}s",
               "--server-pid", str(servers.broker_pid), "--json", str(report)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if not report.exists():
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}\n{servers.logs()}")
    result = json.loads(report.read_text())[0]
    report.unlink()
    if options.verbose:
        print(done.stdout, flush=True)
    return result


def run_side(options, side, cases):
    """All cases on a fresh server: {case: report}."""
    reports = {}
    with Servers(options, side) as servers:
        print(f"  {side}: ready after {servers.start_seconds:.2f} s", flush=True)
        for case in cases:
            load = CASES[case]
            topic = ["-t", f"Compare-{case}"]
            if load["fill"]:
                fill = ["producer", "-c", "4", "-d", "16", "-q", str(load["fill"]), *topic]
                tool(options, servers, fill, 0, 0)
                time.sleep(1)  # Java builds its queue index after the answer.
            report = tool(options, servers, load["words"] + topic, options.duration, options.warmup)
            report["start_seconds"] = servers.start_seconds
            reports[case] = report
            print(f"  {side} {case}: {summary(report)}", flush=True)
    return reports


def figures(report):
    """The figures that are compared; for all but the first, less is better."""
    latency, server = report["latency_us"], report["server"] or {}
    return {"msg/s": report["messages_per_second"], "MB/s": report["megabytes_per_second"],
            "p50 us": latency["p50"],
            "p99 us": latency["p99"], "p99.9 us": latency["p999"],
            "CPU us/msg": server.get("cpu_us_per_message", 0.0),
            "RSS MiB": server.get("rss_mib", 0.0), "RSS peak MiB": server.get("rss_peak_mib", 0.0),
            "start s": report["start_seconds"],
            "failed": sum(failure["count"] for failure in report["failures"])}


def summary(report):
    return "  ".join(f"{name} {number(value)}" for name, value in figures(report).items())


def number(value):
    if value == 0 or value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def spread(values):
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{number(low)} / **{number(middle)}** / {number(high)}"


def table(options, results):
    """Markdown: per case and figure min / median / max of each side and the ratio of each round."""
    sides = options.sides
    ratio = f"{sides[1]} / {sides[0]} per round" if len(sides) == 2 else ""
    lines = [f"| case | figure | {' | '.join(sides)} | {ratio} |", "|---|---|" + "---|" * (len(sides) + 1)]
    for case in options.cases:
        rounds = {side: [figures(one[case]) for one in results[side]] for side in sides}
        for figure in rounds[sides[0]][0]:
            cells = [spread([one[figure] for one in rounds[side]]) for side in sides]
            compared = ""
            if len(sides) == 2:
                ratios = [second[figure] / first[figure] for first, second
                          in zip(rounds[sides[0]], rounds[sides[1]]) if first[figure]]
                compared = spread(ratios) if ratios else "-"
            lines.append(f"| {case} | {figure} | {' | '.join(cells)} | {compared} |")
    return "\n".join(lines)


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="1x1,8x8,32x32", help=f"of {', '.join(CASES)}, or all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--duration", type=float, default=10, help="measured seconds a case")
    parser.add_argument("--warmup", type=float, default=5, help="seconds a case before measuring")
    parser.add_argument("--only", choices=["java", "ring"], help="run only this side")
    parser.add_argument("--java-against-java", action="store_true", help="shows the noise of the method")
    parser.add_argument("--ringmq", default=str(ROOT / "target" / "release" / "ringmq"))
    parser.add_argument("--tool", help="load tool; default: the ringmq of --ringmq with `bench`")
    parser.add_argument("--ring-flush", choices=["sync", "async"], default="sync")
    parser.add_argument("--java-flush", choices=["sync", "async"], default="async")
    parser.add_argument("--java-heap", default="4g")
    parser.add_argument("--java-version", default="4.9.7")
    parser.add_argument("--server-cores", default="0")
    parser.add_argument("--tool-cores", default="1")
    parser.add_argument("--patience", type=float, default=180, help="seconds for a server to start")
    parser.add_argument("--output", default=str(WORK / "result"), help="writes OUTPUT.json and OUTPUT.md")
    parser.add_argument("--keep", action="store_true", help="keep stores and logs")
    parser.add_argument("--verbose", action="store_true", help="show what the load tool prints")
    options = parser.parse_args(arguments)
    options.cases = list(CASES) if options.cases == "all" else options.cases.split(",")
    unknown = set(options.cases) - set(CASES)
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    options.sides = {"java": ["java"], "ring": ["ring"], None: ["java", "ring"]}[options.only]
    if options.java_against_java:
        options.sides = ["java-a", "java-b"]
    options.tool = options.tool or f"{options.ringmq} bench"
    return options


def main():
    # Ends through the clean-up of `with`, as control-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = parse(sys.argv[1:])
    WORK.mkdir(parents=True, exist_ok=True)
    results = {side: [] for side in options.sides}
    for round_number in range(options.rounds):
        print(f"round {round_number + 1} of {options.rounds}", flush=True)
        for side in options.sides:
            results[side].append(run_side(options, side, options.cases))
    text = table(options, results)
    print("\n" + text)
    settings = {key: value for key, value in vars(options).items()}
    Path(options.output + ".json").write_text(json.dumps({"options": settings, "results": results}, indent=1))
    heading = (f"# Comparison\n\nServer on core {options.server_cores}, generator on core "
               f"{options.tool_cores}; {options.rounds} rounds of {options.duration:g} s after "
               f"{options.warmup:g} s; flush: ring {options.ring_flush}, java {options.java_flush}, "
               f"Java {options.java_version} with a heap of {options.java_heap}. "
               "Cells: min / **median** / max.\n\n")
    Path(options.output + ".md").write_text(heading + text + "\n")
    print(f"\nwritten: {options.output}.json, {options.output}.md")


if __name__ == "__main__":
    main()
