"""The loads of the bundled tool, by name."""


class Case:
    """Words for the tool, what to fill the topic with first, and what the server is set to."""

    def __init__(self, name, words, fill=(), settle=0.0):
        self.name = name
        self.words = [str(word) for word in words]
        self.fill = [str(word) for word in fill]
        self.settle = settle

    @property
    def topic(self):
        return "Compare-" + "".join(letter if letter.isalnum() else "-" for letter in self.name)


def send(connections, depth, size=128, batch=1, name=None, extra=()):
    """Closed loop: so many requests in flight on each connection."""
    words = ["producer", "-c", connections, "-d", depth, "-s", size, *extra]
    if batch > 1:
        words += ["--batch", batch]
    return Case(name or f"{connections}x{depth}", words)


def pull(most, name=None, messages=100_000):
    """Four connections with a queue each sweep the same messages again and again. These fit the hot
    tail of RingMQ (64 MiB) and Java's page cache: some 300 bytes each with everything."""
    fill = ["producer", "-c", 4, "-d", 16, "-s", 128, "-q", messages]
    words = ["consumer", "-c", 4, "-B", most, "--from", "min", "--replay"]
    # Java builds its queue index after the answer.
    return Case(name or f"pull {most}", words, fill, settle=1.0)


SIZES = {128: (32, 32), 1024: (16, 8), 4096: (16, 8), 16384: (16, 8), 65536: (16, 8),
         262144: (8, 2), 1048576: (8, 2)}


def size_name(size):
    return f"{size} B" if size < 1024 else f"{size >> 10} KiB" if size < 1 << 20 else f"{size >> 20} MiB"


def of_size(size):
    """Sends of one size; of the large ones fewer are in flight, so that they fit memory budgets."""
    connections, depth = SIZES[size]
    return send(connections, depth, size, name=f"{size_name(size)}, {connections}x{depth}")


def filled(case, size):
    """The same with so many bytes of bodies of 16 KiB sent before."""
    return Case(case.name, case.words, send(16, 8, 16384).words + ["-q", size >> 14])


# Names for --cases.
NAMED = {
    "1x1": send(1, 1), "8x8": send(8, 8), "32x32": send(32, 32),
    "1k": send(16, 8, 1024, name="1k"), "16k": send(16, 8, 16384, name="16k"),
    "batch": send(4, 4, 128, 100, name="batch"),
    "pull32": pull(32, name="pull32"), "pull1": pull(1, name="pull1"),
    "50x1": send(50, 1),
}
