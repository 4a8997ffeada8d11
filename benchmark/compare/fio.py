"""What the disk does without a broker: fio's sequential O_DIRECT writes into a file that was written
before, as RingMQ writes into pre-zeroed segments."""

import json
import subprocess

from processes import fresh_folder

FILE_BYTES = 1 << 30


class Fio:
    """A folder with one file for all runs. Use it in a `with`."""

    def __init__(self, options):
        self.options = options
        self.folder = fresh_folder(options, "fio")

    def __enter__(self):
        file = self.folder / "data"
        subprocess.run(["dd", "if=/dev/zero", f"of={file}", "bs=1M", f"count={FILE_BYTES >> 20}",
                        "oflag=direct", "conv=fsync", "status=none"], check=True)
        return self

    def __exit__(self, *_):
        (self.folder / "data").unlink(missing_ok=True)
        self.folder.rmdir()

    def write(self, block, depth=1, dsync=False):
        """Writes for --fio-seconds: {figure: value}. `dsync`: each write is durable when it ends."""
        command = ["taskset", "-c", self.options.server_cores, "fio", "--name=write",
                   f"--filename={self.folder / 'data'}", f"--size={FILE_BYTES}", "--rw=write",
                   "--direct=1", "--ioengine=io_uring", f"--bs={block}", f"--iodepth={depth}",
                   "--time_based", f"--runtime={self.options.fio_seconds}", "--overwrite=1",
                   "--fallocate=none", "--allow_file_create=0", "--output-format=json",
                   f"--sync={'dsync' if dsync else 'none'}"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
        job = json.loads(done.stdout)["jobs"][0]
        write, slow = job["write"], job["write"]["clat_ns"].get("percentile", {})
        cpu = job["usr_cpu"] + job["sys_cpu"]
        return {"MB/s": write["bw_bytes"] / 1e6, "writes/s": write["iops"],
                "p50 us": slow.get("50.000000", 0) / 1e3, "p99.9 us": slow.get("99.900000", 0) / 1e3,
                "CPU us/write": cpu / 100 * 1e6 / max(write["iops"], 1)}
