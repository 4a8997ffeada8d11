"""A name server and a broker of one kind, RingMQ or Java, started afresh on an empty store."""

import time
from pathlib import Path

import wire
from processes import Family, free_ports, maven_jars

HERE = Path(__file__).resolve().parent
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


class Contestant:
    """One column of a table: which broker, and how it is set."""

    def __init__(self, name, kind, flush, cores=None, settings=None, prepare=None):
        self.name = name
        self.kind = kind
        self.flush = flush
        self.cores = cores
        self.settings = settings or {}
        # Called with the folder of the servers before they start.
        self.prepare = prepare or (lambda folder: None)

    def servers(self, options):
        """Its servers, to be used in a `with`."""
        return {"ring": RingServers, "java": JavaServers}[self.kind](options, self)


def ring(flush="sync", name=None, **more):
    """RingMQ."""
    return Contestant(name or f"ring {flush}", "ring", flush, **more)


def java(flush="async", name=None, **more):
    """The Java broker."""
    return Contestant(name or f"java {flush}", "java", flush, **more)


class Servers(Family):
    """What both kinds have in common. The broker can be killed and started again."""

    def __init__(self, options, contestant):
        super().__init__(options, contestant.name)
        self.contestant = contestant
        name_port, self.port = free_ports(2)
        self.name_server = f"127.0.0.1:{name_port}"
        self.broker = f"127.0.0.1:{self.port}"
        self.broker_process = None
        self.start_seconds = 0.0

    @property
    def broker_pid(self):
        return self.broker_process.pid

    def start(self):
        self.contestant.prepare(self.folder)
        self.write("namesrv.conf", {"listenPort": self.name_server.split(":")[1],
                                    "kvConfigPath": self.folder / "namesrv" / "kvConfig.json"})
        self.write("broker.conf", self.settings())
        self.spawn_name_server()
        self.await_that(lambda: wire.connects(self.name_server), "the name server")
        self.start_seconds = self.start_broker()

    def start_broker(self, topic="TBW102"):
        """Starts the broker; seconds until it serves: it answers and the topic has a route."""
        began = time.monotonic()
        self.broker_process = self.spawn_broker()
        self.await_that(lambda: wire.answers(self.broker), "the broker's first answer")
        self.await_that(lambda: wire.has_route(self.name_server, topic), f"the route of {topic}")
        return time.monotonic() - began

    def kill_broker(self):
        """kill -9. Awaits that the name server has noticed, so that a route seen later is new."""
        self.kill(self.broker_process)
        self.await_that(lambda: not wire.has_route(self.name_server, "TBW102"),
                        "the end of the route of the killed broker")

    def write(self, name, settings):
        text = "".join(f"{key}={value}\n" for key, value in settings.items())
        (self.folder / name).write_text(text)

    def settings(self):
        store = self.folder / "store"
        flush = "SYNC_FLUSH" if self.contestant.flush == "sync" else "ASYNC_FLUSH"
        return {"brokerClusterName": "DefaultCluster", "brokerName": "broker-a", "brokerId": 0,
                "brokerIP1": "127.0.0.1", "listenPort": self.port, "namesrvAddr": self.name_server,
                "haListenPort": free_ports(1)[0],
                "storePathRootDir": store, "storePathCommitLog": store / "commitlog",
                "flushDiskType": flush, "brokerRole": "ASYNC_MASTER",
                "autoCreateTopicEnable": "true", "defaultTopicQueueNums": 8,
                "diskMaxUsedSpaceRatio": 95, **self.contestant.settings}


class RingServers(Servers):
    """RingMQ: a name server on the tool's cores, a broker on the server's."""

    def spawn_name_server(self):
        words = [self.options.ringmq, "namesrv", "-c", self.folder / "namesrv.conf"]
        self.spawn(words, self.options.tool_cores, "namesrv.log")

    def spawn_broker(self):
        cores = self.contestant.cores or self.options.server_cores
        words = [self.options.ringmq, "broker", "-n", self.name_server, "-c",
                 self.folder / "broker.conf", "--cores", cores]
        for each in self.options.set:
            words += ["--set", each]
        return self.spawn(words, cores, "broker.log")


class JavaServers(Servers):
    """The Java servers, with the flags of runserver.sh and runbroker.sh."""

    def spawn_name_server(self):
        words = ["java", "-Xms256m", "-Xmx256m", *self.common(),
                 "org.apache.rocketmq.namesrv.NamesrvStartup", "-c", self.folder / "namesrv.conf"]
        self.spawn(words, self.options.tool_cores, "namesrv.out", self.home())

    def spawn_broker(self):
        heap = self.options.java_heap
        flags = ["-server", f"-Xms{heap}", f"-Xmx{heap}", "-XX:+UseG1GC", "-XX:G1HeapRegionSize=16m",
                 "-XX:G1ReservePercent=25", "-XX:InitiatingHeapOccupancyPercent=30",
                 "-XX:SoftRefLRUPolicyMSPerMB=0", "-XX:-OmitStackTraceInFastThrow",
                 "-XX:+AlwaysPreTouch", "-XX:MaxDirectMemorySize=15g", "-XX:-UseLargePages"]
        words = ["java", *flags, *self.common(), "org.apache.rocketmq.broker.BrokerStartup", "-n",
                 self.name_server, "-c", self.folder / "broker.conf"]
        cores = self.contestant.cores or self.options.server_cores
        return self.spawn(words, cores, "broker.out", self.home())

    def home(self):
        return {"ROCKETMQ_HOME": str(self.folder)}

    def common(self):
        """Logging of warnings into the folder, class path, what Java 17 has to open."""
        conf = self.folder / "conf"
        conf.mkdir(exist_ok=True)
        for name in ("namesrv", "broker", "tools"):
            text = LOGBACK.format(file=self.folder / f"{name}.log")
            (conf / f"logback_{name}.xml").write_text(text)
        version = self.options.java_version
        jars = maven_jars(self.options, HERE / "pom.xml", version, "rocketmq.version", version)
        words = [f"-Duser.home={self.folder}",
                 f"-Dtls.config.file={self.folder / 'tls.properties'}", "-cp", f"{conf}:{jars}/*"]
        for package in OPENS:
            words = ["--add-opens", f"{package}=ALL-UNNAMED", *words]
        return words
