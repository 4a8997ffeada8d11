"""How large the writes of the log are: with `perf`, if it is there and allowed, from the kernel's own
record of direct writes."""

import re
import statistics
import subprocess
import tempfile
import threading
from pathlib import Path

EVENT = "iomap:iomap_dio_rw_begin"
LENGTH = re.compile(r"\blength 0x([0-9a-f]+) .*\bWRITE\b")
# RingMQ zero-fills segments ahead of need in writes of exactly this size; these are left out.
ZERO_BYTES = 1 << 20


class LogWrites:
    """Watches a process while the `with` runs, for `seconds` after `delay`. `sizes` then has its direct
    writes but those of the zero-filler; nothing when perf cannot tell."""

    def __init__(self, pid, delay, seconds=1.0):
        self.pid, self.delay, self.seconds = pid, delay, seconds
        self.sizes = []

    def __enter__(self):
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join()

    def watch(self):
        with tempfile.TemporaryDirectory() as folder:
            data = str(Path(folder) / "perf.data")
            record = ["perf", "record", "-q", "-D", str(int(self.delay * 1000)), "-e", EVENT, "-p",
                      str(self.pid), "-o", data, "--", "sleep", str(self.delay + self.seconds)]
            try:
                subprocess.run(record, capture_output=True, check=True)
                text = subprocess.run(["perf", "script", "-i", data, "-F", "trace"],
                                      capture_output=True, text=True, check=True).stdout
            except (OSError, subprocess.CalledProcessError):
                return
        self.sizes = sizes(text)

    def figures(self):
        """Mean and median in KiB, if there are any."""
        if not self.sizes:
            return {}
        return {"mean log write KiB": statistics.mean(self.sizes) / 1024,
                "median log write KiB": statistics.median(self.sizes) / 1024}


def sizes(text):
    """Sizes in the lines of `perf script`."""
    found = (LENGTH.search(line) for line in text.splitlines())
    lengths = [int(length.group(1), 16) for length in found if length]
    return [length for length in lengths if length != ZERO_BYTES]
