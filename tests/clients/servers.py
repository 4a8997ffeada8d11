"""Starts and stops the servers that the client tests run against."""

import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import time

KINDS = ["standalone", "ringmq", "java"]
# The version of RocketMQ's own servers, unless another is asked for.
JAVA = "4.9.7"
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30
GET_ROUTE = 105
HOST = "127.0.0.1"

# Warnings and errors of RingMQ that these suites cause, each with its reason.
EXPECTED = [
    (r"more shards than CPUs", "suites run with up to four shards on any machine"),
    (r"this machine: ", "what doctor says of the machine: suites run on any"),
]
# What a name server says of a broker that ended without a farewell.
GONE = re.compile(r"broker \S+ .* is dropped: its connection has ended")
# Accounts of a server that checks them: the one that scenarios run with, and one that may little.
ACCESS_KEY, SECRET_KEY = "clients-admin", "clients-secret-1"
ACCOUNTS = f"""accounts:
  - accessKey: {ACCESS_KEY}
    secretKey: {SECRET_KEY}
    admin: true
  - accessKey: limited
    secretKey: {SECRET_KEY}
    defaultTopicPerm: DENY
    defaultGroupPerm: DENY
    topicPerms:
      - AclAllowed=PUB|SUB
    groupPerms:
      - AclGroup=SUB
"""
# How full the machine's disk is must not matter.
DISK_LEVELS = {"diskMaxUsedSpaceRatio": 95, "diskSpaceCleanForciblyRatio": 99, "diskSpaceWarningLevelRatio": 99}
# Transactions are asked for soon, and messages that wait for their time may be called back.
CHECKS = {"transactionTimeOut": 1000, "transactionCheckInterval": 2000, "recallMessageEnable": "true"}


class Unusable(Exception):
    """The run cannot work; the text says why."""


def free_ports(count):
    """The first of so many adjacent free ports below the range that the kernel hands out itself."""
    start = 20_000 + os.getpid() % 5_000
    for base in range(start, 30_000, count):
        held = []
        try:
            for port in range(base, base + count):
                holder = socket.socket()
                held.append(holder)
                holder.bind((HOST, port))
            return base
        except OSError:
            continue
        finally:
            for holder in held:
                holder.close()
    raise Unusable("no free ports between 20,000 and 30,000")


def openssl(work, *arguments):
    program = shutil.which("openssl")
    if program is None:
        raise Unusable("openssl is not installed: apt-get install openssl")
    done = subprocess.run([program, *arguments], cwd=work, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unusable(f"openssl {' '.join(arguments)}: {done.stderr.strip()}")


class Certificates:
    """An authority, and a certificate each for servers and clients, in files."""

    def __init__(self, work):
        self.work = work
        key = ["-newkey", "rsa:2048", "-nodes", "-days", "30"]
        openssl(work, "req", "-x509", *key, "-subj", "/CN=authority", "-keyout", "authority.key", "-out", "authority.pem")
        for name in ("server", "client"):
            openssl(work, "req", "-x509", *key, "-subj", f"/CN={name}", "-CA", "authority.pem", "-CAkey", "authority.key",
                    "-addext", f"subjectAltName=IP:{HOST},DNS:localhost", "-addext", "basicConstraints=CA:FALSE",
                    "-keyout", f"{name}.key", "-out", f"{name}.pem")

    def path(self, name):
        return os.path.join(self.work, name)

    def of_side(self, side, own):
        return {f"tls.{side}.certPath": self.path(f"{own}.pem"), f"tls.{side}.keyPath": self.path(f"{own}.key"),
                f"tls.{side}.trustCertPath": self.path("authority.pem")}

    def of_servers(self):
        """TLS for everybody, who has to show a certificate; name servers are checked likewise."""
        return {"tls.server.mode": "enforcing", "tls.server.need.client.auth": "require", "tls.server.authClient": "true",
                "tls.client.authServer": "true", **self.of_side("server", "server"), **self.of_side("client", "server")}

    def of_clients(self):
        """System properties of Java clients."""
        return {"tls.enable": "true", "tls.test.mode.enable": "false", "tls.client.authServer": "true",
                **self.of_side("client", "client")}

    def wrap(self, connection):
        context = ssl.create_default_context(cafile=self.path("authority.pem"))
        context.load_cert_chain(self.path("client.pem"), self.path("client.key"))
        return context.wrap_socket(connection, server_hostname=HOST)


def request(address, code, fields, timeout=2.0, tls=None):
    """One request in a connection of its own; returns the response code."""
    host, port = address.split(":")
    header = json.dumps({"code": code, "language": "OTHER", "version": 409, "opaque": 1, "flag": 0,
                         "extFields": fields}).encode()
    frame = struct.pack(">ii", 4 + len(header), len(header)) + header
    plain = socket.create_connection((host, int(port)), timeout)
    with tls.wrap(plain) if tls else plain as connection:
        connection.sendall(frame)
        reply = b""
        while len(reply) < 8 or len(reply) < 4 + struct.unpack(">i", reply[:4])[0]:
            piece = connection.recv(65536)
            if not piece:
                raise OSError("closed")
            reply += piece
    length = struct.unpack(">i", reply[4:8])[0] & 0xFFFFFF
    return json.loads(reply[8:8 + length])["code"]


class Server:
    """Processes, in the order in which they were started."""

    def __init__(self, namesrv, tls=None):
        self.namesrv = namesrv
        self.tls = tls
        self.processes = []
        self.commands = {}
        self.kills = 0
        self.start_seconds = 0.0

    def spawn(self, name, command, work):
        self.commands[name] = (command, work)
        log = open(os.path.join(work, f"{name}.log"), "ab")
        own = ("NAMESRV_ADDR", "ROCKETMQ_HOME")
        environment = {name: value for name, value in os.environ.items()
                       if name not in own and not name.startswith("RINGMQ_")}
        environment["HOME"] = work
        self.processes.append((name, log.name, subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=work,
            env=environment)))
        log.close()

    def kill_and_start(self):
        """Kills the process that was started last, a broker, and starts it again."""
        name, _, process = self.processes.pop()
        self.kills += 1
        process.kill()
        process.wait()
        self.spawn(name, *self.commands[name])

    def died(self):
        """What became of a process that should run, or nothing."""
        for name, log, process in self.processes:
            if process.poll() is not None:
                with open(log, errors="replace") as output:
                    tail = " | ".join(output.read().splitlines()[-5:])
                return f"{name} ended with exit code {process.returncode}: {tail}"
        return None

    def warnings(self, expected=()):
        """Lines of the levels WARN and ERROR, and panics, that neither suite nor caller expects."""
        allowed = re.compile("|".join(pattern for pattern, _ in EXPECTED + list(expected)))
        # a name server of its own says of each broker that was killed that it is gone
        kills = self.kills
        found = []
        for name, log, _ in self.processes:
            with open(log, errors="replace") as output:
                for line in output:
                    words = line.split(None, 2)
                    warns = len(words) > 1 and words[1] in ("WARN", "ERROR") or "panicked at" in line
                    if not warns or allowed.search(line):
                        continue
                    if kills > 0 and GONE.search(line):
                        kills -= 1
                        continue
                    found.append(f"{name}: {line.rstrip()}")
        return found

    def await_route(self):
        """Asks the name server until it knows the topic that every broker has."""
        began = time.monotonic()
        while True:
            problem = self.died()
            if problem is None and time.monotonic() - began > START_SECONDS_MAX:
                problem = f"no route after {START_SECONDS_MAX} s"
            if problem:
                self.stop()
                raise Unusable(problem)
            try:
                if request(self.namesrv, GET_ROUTE, {"topic": "TBW102"}, tls=self.tls) == 0:
                    self.start_seconds = time.monotonic() - began
                    return
            except OSError:
                pass
            time.sleep(0.01)

    def stop(self):
        """Ends the processes, the last first; returns what went wrong, or nothing."""
        problem = None
        for name, _, process in reversed(self.processes):
            if process.poll() is not None:
                continue
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                problem = f"{name} did not end within {STOP_SECONDS_MAX} s of SIGTERM"
                process.kill()
                process.wait()
        return problem


def write(path, settings):
    with open(path, "w") as file:
        file.write("".join(f"{key}={value}\n" for key, value in settings.items()))
    return path


def broker_settings(work, port, shards, name="broker-a"):
    settings = {"brokerClusterName": "DefaultCluster", "brokerName": name, "brokerId": 0,
                "brokerIP1": HOST, "listenPort": port, "storePathRootDir": os.path.join(work, f"store-{name}"),
                "enablePropertyFilter": "true"}
    settings.update(DISK_LEVELS)
    settings.update(CHECKS)
    if shards:
        settings["shards"] = shards
    return settings


def binary(root):
    """The RingMQ binary: the one named by RINGMQ, or the release build."""
    path = os.environ.get("RINGMQ", os.path.join(root, "target", "release", "ringmq"))
    if not os.access(path, os.X_OK):
        raise Unusable(f"no binary {path}: cargo build --release, or name one in RINGMQ")
    return path


def start_java(work, root, ports, brokers, maven, extra, heap, version):
    here = os.path.join(root, "tests", "clients", "server")
    target = os.path.join(root, "target", "clients", "server" if version == JAVA else f"server-{version}")
    os.makedirs(target, exist_ok=True)
    maven(here, [f"-Drocketmq.version={version}", f"-Doutput={target}", "process-resources"],
          os.path.join(target, "built"), [here])
    java = shutil.which("java")
    if java is None:
        raise Unusable("java is not installed: apt-get install openjdk-17-jdk-headless")
    command = [java, f"-Xms{heap}", f"-Xmx{heap}", "-XX:+UseG1GC", f"-Duser.home={work}",
               "--add-opens", "java.base/java.nio=ALL-UNNAMED",
               "--add-opens", "java.base/sun.nio.ch=ALL-UNNAMED",
               "--add-opens", "java.base/jdk.internal.ref=ALL-UNNAMED", "-cp", f"{target}/lib/*"]
    small = [command[0], "-Xms64m", "-Xmx256m"] + command[3:]
    server = Server(f"{HOST}:{ports}")
    namesrv = write(os.path.join(work, "namesrv.conf"), {"listenPort": ports})
    home = f"-Drocketmq.home.dir={work}"
    # the control logs with logback's own settings, which its distribution keeps beside the jars
    for kind in ("namesrv", "broker"):
        os.makedirs(os.path.join(work, "conf"), exist_ok=True)
        with open(os.path.join(work, "conf", f"logback_{kind}.xml"), "w") as file:
            file.write('<configuration><root level="WARN"/></configuration>\n')
    server.spawn("namesrv", small[:-2] + [home] + small[-2:]
                 + ["org.apache.rocketmq.namesrv.NamesrvStartup", "-c", namesrv], work)
    for number, name in enumerate(brokers):
        # a Java broker also takes the port two below, and the one above for its slaves
        settings = broker_settings(work, ports + 4 + 5 * number, None, name)
        settings.update({"mapedFileSizeCommitLog": 104857600, "maxIndexNum": 1000, "maxHashSlotNum": 4000})
        settings.update(extra.get(name, {}))
        conf = write(os.path.join(work, f"{name}.conf"), settings)
        server.spawn(name, command[:-2] + [home] + command[-2:]
                     + ["org.apache.rocketmq.broker.BrokerStartup", "-n", server.namesrv, "-c", conf], work)
    return server


def start_ringmq(work, root, ports, brokers, shards, extra):
    program = binary(root)
    server = Server(f"{HOST}:{ports}")
    namesrv = write(os.path.join(work, "namesrv.conf"),
                    {"listenPort": ports, "kvConfigPath": os.path.join(work, "kvConfig.json")})
    server.spawn("namesrv", [program, "namesrv", "-c", namesrv], work)
    for number, name in enumerate(brokers):
        settings = broker_settings(work, ports + 4 + 5 * number, shards, name)
        settings.update(extra.get(name, {}))
        conf = write(os.path.join(work, f"{name}.conf"), settings)
        server.spawn(name, [program, "broker", "-n", server.namesrv, "-c", conf], work)
    return server


def start_standalone(work, root, ports, shards, acl, tls):
    command = [binary(root), "standalone", "--store", os.path.join(work, "store"), "--namesrv-port", str(ports),
               "--listen-port", str(ports + 4), "--advertise", HOST]
    settings = dict(DISK_LEVELS, **CHECKS, enablePropertyFilter="true",
                    **({"shards": shards} if shards else {}))
    if acl:
        accounts = os.path.join(work, "plain_acl.yml")
        with open(accounts, "w") as file:
            file.write(ACCOUNTS)
        settings.update({"aclEnable": "true", "aclFile": accounts})
    certificates = Certificates(work) if tls else None
    if certificates:
        settings.update(certificates.of_servers())
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    server = Server(f"{HOST}:{ports}", certificates)
    server.spawn("standalone", command, work)
    return server


def start(kind, work, root, shards, maven, brokers=("broker-a",), extra=None, heap="1g", acl=False, tls=False,
          java=None):
    """Starts a name server and brokers; returns when the name server tells a route.

    `extra`: further settings by the broker's name; `heap`: of each Java broker; `acl`: a standalone server
    checks accounts; `tls`: it takes only clients with TLS and a certificate; `java`: a version of Java's."""
    ports = free_ports(5 + 5 * len(brokers))
    if kind == "java":
        server = start_java(work, root, ports, brokers, maven, extra or {}, heap, java or JAVA)
    elif kind == "ringmq":
        server = start_ringmq(work, root, ports, brokers, shards, extra or {})
    else:
        server = start_standalone(work, root, ports, shards, acl, tls)
    server.await_route()
    return server
