"""Processes: starting them on given cores, ending them by their ids, what they use; free ports; the
disk that stores lie on."""

import os
import random
import shutil
import socket
import subprocess
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
# A sector of /sys/dev/block/*/stat, whatever the device's own are.
SECTOR_BYTES = 512
MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs", "devtmpfs")


class Family:
    """The processes of one set-up with a folder of its own. Use it in a `with`: whatever happens,
    they end and the folder goes."""

    def __init__(self, options, name):
        self.options = options
        self.name = name
        self.processes = []
        self.folder = fresh_folder(options, name)

    def __enter__(self):
        try:
            self.start()
            return self
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Starts the processes; returns when they serve."""
        raise NotImplementedError

    def spawn(self, words, cores, log, environment=None):
        """Starts a process on some cores: its Popen."""
        with open(self.folder / log, "ab") as output:
            process = subprocess.Popen(["taskset", "-c", cores, *map(str, words)], stdout=output,
                                       stderr=output, stdin=subprocess.DEVNULL, cwd=self.folder,
                                       env={**os.environ, **(environment or {})})
        self.processes.append(process)
        return process

    def await_that(self, condition, what, interval=0.002):
        """Waits until the condition holds; seconds that took."""
        began = time.monotonic()
        while not condition():
            for process in self.processes:
                if process.poll() is not None:
                    raise RuntimeError(f"{self.name}: process {process.args} ended with "
                                       f"{process.returncode}\n{self.logs()}")
            if time.monotonic() - began > self.options.patience:
                raise RuntimeError(f"{self.name}: {what} did not come within "
                                   f"{self.options.patience} s\n{self.logs()}")
            time.sleep(interval)
        return time.monotonic() - began

    def logs(self):
        """The last lines of all logs."""
        lines = []
        for file in sorted([*self.folder.glob("*.out"), *self.folder.glob("*.log")]):
            lines += [f"--- {file.name}", *file.read_text(errors="replace").splitlines()[-20:]]
        return "\n".join(lines)

    def kill(self, process):
        """Ends a process as a crash does."""
        process.kill()
        process.wait()
        self.processes.remove(process)

    def stop(self):
        """Ends all processes, the youngest first, and removes the folder."""
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


def fresh_folder(options, name):
    """A new folder for one set-up, on a real disk with room."""
    work = Path(options.work)
    work.mkdir(parents=True, exist_ok=True)
    kind = file_system(work)
    if kind in MEMORY_FILE_SYSTEMS:
        raise RuntimeError(f"{work} is on {kind}: stores must lie on a disk, see --work")
    free = shutil.disk_usage(work).free / 2**30
    if free < options.free_gib:
        raise RuntimeError(f"{work} has {free:.0f} GiB free, at least {options.free_gib:g} are "
                           "needed: make room, or see --work and --free-gib")
    plain = "".join(letter if letter.isalnum() else "-" for letter in name)
    folder = work / f"{plain}-{os.getpid()}-{random.randrange(10**6):06}"
    folder.mkdir()
    return folder


def file_system(path):
    """Kind of the file system that a path is on."""
    done = subprocess.run(["stat", "-f", "-c", "%T", str(path)], capture_output=True, text=True)
    return done.stdout.strip()


class Usage:
    """What a process has used so far, and what it holds now."""

    def __init__(self, pid):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        self.at = time.monotonic()
        self.cpu_us = (int(fields[11]) + int(fields[12])) * 1e6 / TICKS
        status = dict(line.split(":", 1) for line in
                      Path(f"/proc/{pid}/status").read_text().splitlines())
        self.rss_mib = int(status["VmRSS"].split()[0]) / 1024
        self.rss_peak_mib = int(status["VmHWM"].split()[0]) / 1024
        self.descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        traffic = dict(line.split(": ") for line in
                       Path(f"/proc/{pid}/io").read_text().splitlines())
        self.read_bytes, self.write_bytes = int(traffic["read_bytes"]), int(traffic["write_bytes"])


class Disk:
    """Writes and reads of the whole device under a folder; nothing else may use it meanwhile."""

    def __init__(self, folder):
        device = os.stat(folder).st_dev
        path = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat")
        fields = [int(field) for field in path.read_text().split()] if path.exists() else [0] * 11
        self.at = time.monotonic()
        self.reads, self.read_bytes = fields[0], fields[2] * SECTOR_BYTES
        self.writes, self.write_bytes = fields[4], fields[6] * SECTOR_BYTES

    def since(self, before):
        """MB/s written and read since then, and the mean write in bytes (0: not known)."""
        seconds = self.at - before.at
        writes = self.writes - before.writes
        written = self.write_bytes - before.write_bytes
        return {"disk write MB/s": written / seconds / 1e6,
                "disk read MB/s": (self.read_bytes - before.read_bytes) / seconds / 1e6,
                "mean disk write KiB": written / writes / 1024 if writes else 0.0}


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


def maven_jars(options, pom, name, version_property, version):
    """Folder with the jars that a pom names, fetched by Maven once."""
    folder = Path(options.work) / f"jars-{name}"
    if not list(folder.glob("*.jar")):
        print(f"fetching the jars of {name} ...", flush=True)
        subprocess.run(["mvn", "-q", "-B", "-f", pom, f"-D{version_property}={version}",
                        "dependency:copy-dependencies", f"-DoutputDirectory={folder}"], check=True)
    return folder
