"""RocketMQ's own mqadmin against a server that checks accounts: main.py LIBRARIES NAMESRV SCENARIOS WORK

Prints PASS or FAIL for each scenario and the totals, as the other clients do. mqadmin signs with
conf/tools.yml of its home; its exit code is always 0, so what it prints is looked at."""

import os
import re
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import servers  # noqa: E402

CLUSTER = "DefaultCluster"
COMMAND_SECONDS_MAX = 60
TRACE_TRIES = 4


class Mqadmin:
    """mqadmin with a home, and so an account, of its own."""

    def __init__(self, libraries, namesrv, work, access_key, secret_key):
        self.home = os.path.join(work, f"mqadmin-{access_key}")
        conf = os.path.join(self.home, "conf")
        os.makedirs(conf, exist_ok=True)
        with open(os.path.join(conf, "logback_tools.xml"), "w") as file:
            file.write('<configuration><root level="OFF"/></configuration>\n')
        with open(os.path.join(conf, "tools.yml"), "w") as file:
            file.write(f"accessKey: {access_key}\nsecretKey: {secret_key}\n")
        self.libraries, self.namesrv = libraries, namesrv
        # Those of TLS, if the server takes only that.
        self.properties = os.environ.get("CLIENTS_JAVA_PROPERTIES", "").split()

    def __call__(self, *arguments):
        command = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", f"-Drocketmq.home.dir={self.home}",
                   f"-Duser.home={self.home}", *self.properties, "-cp", self.libraries,
                   "org.apache.rocketmq.tools.command.MQAdminStartup", *arguments, "-n", self.namesrv]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace",
                              timeout=COMMAND_SECONDS_MAX, cwd=self.home)
        return done.stdout


def check(output, *parts):
    for part in parts:
        if not re.search(part, output):
            raise AssertionError(f"no {part!r} in: " + " ".join(output.split())[:600])


def topics(admin, _stranger, _work):
    check(admin("updateTopic", "-c", CLUSTER, "-t", "MadeByTool"), "success")
    check(admin("topicList"), "MadeByTool")
    check(admin("deleteTopic", "-c", CLUSTER, "-t", "MadeByTool"), "delete topic .* success")


def accounts(admin, _stranger, work):
    check(admin("updateAclConfig", "-c", CLUSTER, "-a", "made-by-tool", "-s", "secret-of-tool",
                "-t", "MadeByTool=PUB,Other=DENY", "-g", "G=SUB", "-i", "DENY", "-m", "false"),
          "create or update plain access config to .* success")
    with open(os.path.join(work, "plain_acl.yml")) as file:
        text = file.read()
    check(text, "accessKey: made-by-tool", "MadeByTool=PUB", "counter: ")
    check(admin("clusterAclConfigVersion", "-c", CLUSTER), "version success", r"plain_acl\.yml")
    check(admin("updateGlobalWhiteAddr", "-c", CLUSTER, "-g", "10.10.103.*,192.168.0.*"),
          "update global white remote addresses to .* success")
    check(admin("deleteAclConfig", "-c", CLUSTER, "-a", "made-by-tool"),
          "delete plain access config account from .* success")
    with open(os.path.join(work, "plain_acl.yml")) as file:
        text = file.read()
    if "made-by-tool" in text:
        raise AssertionError("the account is still there")
    check(text, r"10\.10\.103\.\*", f"accessKey: {servers.ACCESS_KEY}")


def refusals(_admin, stranger, _work):
    check(stranger("updateTopic", "-c", CLUSTER, "-t", "Never"), "Need admin permission for request code=17")
    check(stranger("deleteAclConfig", "-c", CLUSTER, "-a", servers.ACCESS_KEY),
          "Need admin permission for request code=51")


def trace(admin, _stranger, _work):
    """A message that the tool sends with its trace on, looked up by its id.

    The tool ends without waiting for the trace that it sends, on connections of its own: where their
    TLS takes longer than that end, there is no trace, nor a topic of traces (AsyncTraceDispatcher)."""
    check(admin("updateTopic", "-c", CLUSTER, "-t", "TracedByTool"), "success")
    for left in reversed(range(TRACE_TRIES)):
        sent = admin("sendMessage", "-t", "TracedByTool", "-p", "traced", "-m", "true")
        check(sent, "SEND_OK")
        found = admin("queryMsgTraceById", "-i", re.search(r"SEND_OK\s+(\w+)", sent).group(1))
        if left == 0 or re.search(r"Pub\s", found):
            break
    check(found, r"Pub\s", r"success")


SCENARIOS = {"mqadmin_topics": topics, "mqadmin_accounts": accounts, "mqadmin_trace": trace, "mqadmin_refusals": refusals}


def main():
    libraries, namesrv, pattern, work = sys.argv[1:]
    admin = Mqadmin(libraries, namesrv, work, servers.ACCESS_KEY, servers.SECRET_KEY)
    stranger = Mqadmin(libraries, namesrv, work, "limited", servers.SECRET_KEY)
    passed = failed = 0
    for name, scenario in SCENARIOS.items():
        if not re.fullmatch(pattern, name):
            continue
        began = time.monotonic()
        try:
            scenario(admin, stranger, work)
            passed += 1
            print(f"PASS {name} {int(1000 * (time.monotonic() - began))}", flush=True)
        except (AssertionError, OSError, subprocess.TimeoutExpired) as problem:
            failed += 1
            print(f"FAIL {name}: {problem}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
