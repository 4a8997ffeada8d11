"""What accounts, TLS, traces, transactions and delay levels cost, beside the Java broker: sends of
RocketMQ's own client, the same for both brokers."""

import subprocess
from pathlib import Path

from measuring import CpuMeter, say
from processes import maven_jars
from report import Section
from servers import java, ring

HERE = Path(__file__).resolve().parent
ACCESS_KEY, SECRET_KEY = "compareUser", "compareSecret"
ACCOUNTS = f"""accounts:
- accessKey: {ACCESS_KEY}
  secretKey: {SECRET_KEY}
  admin: false
  defaultTopicPerm: PUB|SUB
  defaultGroupPerm: PUB|SUB
"""
THREADS = 64
SMALL, LARGE = 128, 16384
# Name, what the load does, bytes of a body, settings of the broker, and what it is compared with.
FEATURES = [
    ("plain, 128 B", "plain", SMALL, {}, None),
    ("accounts (ACL)", "acl", SMALL, {"aclEnable": "true"}, "plain, 128 B"),
    ("trace", "trace", SMALL, {"traceTopicEnable": "true"}, "plain, 128 B"),
    ("half and commit", "transactions", SMALL, {}, "plain, 128 B"),
    ("delay level 1, and its delivery", "delay", SMALL, {}, "plain, 128 B"),
    ("TLS, 128 B", "tls", SMALL, {}, "plain, 128 B"),
    ("plain, 16 KiB", "plain", LARGE, {}, None),
    ("TLS, 16 KiB", "tls", LARGE, {}, "plain, 16 KiB"),
]


def features(options):
    """Accounts, TLS, traces, transactions and delay levels, by RocketMQ's own client."""
    kinds = [each for each in (java, ring) if options.only in (None, each.__name__)]
    section = Section("features", f"{THREADS} threads of RocketMQ's own client that send one message at a time, both "
                      "ASYNC_FLUSH; `of plain`: CPU a message over that of the plain sends of this round. "
                      "The client has the other core: it is what bounds RingMQ.",
                      [f"{each.__name__} async" for each in kinds], [("ring async", "java async")])
    for round_number in range(options.rounds):
        print(f"features: round {round_number + 1} of {options.rounds}", flush=True)
        for kind in kinds:
            plain = {}
            for name, work, size, settings, base in FEATURES:
                contestant = kind("async", settings=settings, prepare=prepare)
                with contestant.servers(options) as servers:
                    found = load(options, servers, work, size)
                plain[name] = found["CPU us/msg"]
                if base is not None:
                    found["CPU, of plain"] = plain[name] / plain[base]
                section.add(round_number, name, contestant.name, found)
                say(contestant.name, name, found)
    return section


def prepare(folder):
    """What a server finds in its folder before it starts: accounts, and a certificate for Java's."""
    conf = folder / "conf"
    conf.mkdir(exist_ok=True)
    for file in (folder / "plain_acl.yml", conf / "plain_acl.yml"):
        file.write_text(ACCOUNTS)
    key, certificate = folder / "server.key", folder / "server.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=127.0.0.1", "-keyout", key, "-out", certificate], check=True,
                   capture_output=True)
    (folder / "tls.properties").write_text(
        "tls.test.mode.enable=false\ntls.server.need.client.auth=none\n"
        f"tls.server.keyPath={key}\ntls.server.certPath={certificate}\n")


def load(options, servers, work, size):
    """Runs the client once: its figures, and the CPU that the broker used meanwhile."""
    version = options.java_version
    jars = maven_jars(options, HERE / "pom.xml", version, "rocketmq.version", version)
    words = ["taskset", "-c", options.tool_cores, "java", "-XX:+UseSerialGC", "-Xms512m", "-Xmx512m",
             f"-Dtls.enable={str(work == 'tls').lower()}", "-Dtls.client.authServer=false",
             f"-Duser.home={servers.folder}", "-cp", f"{jars}/*", HERE / "Load.java",
             servers.name_server, work, THREADS, size, round(options.warmup),
             round(options.duration), ACCESS_KEY, SECRET_KEY]
    with open(servers.folder / "load.out", "wb") as errors:
        process = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, stderr=errors,
                                   text=True)
    try:
        with process.stdout as lines:
            said = await_line(lines, "begin", servers)
            with CpuMeter(servers.broker_pid) as cpu:
                said = await_line(lines, "end", servers)
    finally:
        process.kill()
        process.wait()
    count, failed, p50, p99 = map(int, said.split()[1:])
    return {"msg/s": count / cpu.seconds, "CPU us/msg": cpu.each(count), "p50 us": p50, "p99 us": p99,
            "RSS MiB": cpu.last.rss_mib, "failed": failed}


def await_line(lines, start, servers):
    for line in lines:
        if line.startswith(start):
            return line
    raise RuntimeError(f"the load ended before it said {start!r}\n{servers.logs()}")
