"""A case: one request to both servers, what comes before it, and what is looked at behind it."""

from server import Request


class Case:
    """`prepare` and `observe` are functions of a server and of this case. What `observe` returns is
    compared; it also gets the answer. `alone`: on a connection of its own, closed behind it."""

    def __init__(self, name, request, prepare=None, observe=None, alone=False, strict=False, late=None):
        self.name = name
        self.request = request
        self.prepare = prepare
        self.observe = observe
        self.alone = alone
        self.strict = strict
        # a second look at the end of all cases, when what is delayed has come
        self.late = late

    def run(self, server):
        if self.prepare:
            self.prepare(server)
        connection = server.open(self.strict) if self.alone else None
        answer = server.ask(self.request, connection, self.strict)
        found = server.comparable(self.request, answer)
        if self.observe:
            found["after"] = server.normal(self.observe(server, answer))
        if connection:
            connection.close()
        return found


class Names:
    """Names that no other case has."""

    def __init__(self):
        self.count = 0

    def fresh(self, kind):
        self.count += 1
        return f"{kind}{self.count}"


ODD = {
    "int": ["", "x", "-1", "2147483648", " 1", "+1", "1.0", "01", "99999999999999999999"],
    "long": ["", "x", "-1", "9223372036854775807", "9223372036854775808", "+1", " 1", "1.5"],
    "bool": ["", "TRUE", "yes", "0"],
    "name": ["", " ", "nosuch", "with space", "\u00fcml", "a%b", "a/b"],
    "text": ["", "x", "\u4e2d\U0001f600"],
}


def variants(fields, kinds):
    """Name and fields for every oddity of every field of a request."""
    yield "valid", dict(fields)
    for name in fields:
        rest = {other: value for other, value in fields.items() if other != name}
        yield f"{name}/missing", rest
        yield f"{name}/capital", {**rest, name[0].upper() + name[1:]: fields[name]}
        for index, odd in enumerate(ODD[kinds[name]]):
            yield f"{name}/odd{index}={odd!r}", {**rest, name: odd}
    yield "unknown", {**fields, "nobodyKnows": "it", "": "empty", "zz": ""}
    yield "none", {}
    yield "no-fields", None


def random_variants(fields, kinds, random, count):
    """Several oddities at once."""
    for index in range(count):
        mixed = {}
        for name, value in fields.items():
            dice = random.random()
            if dice < 0.15:
                continue
            mixed[name] = random.choice(ODD[kinds[name]]) if dice < 0.3 else value
        yield f"mixed{index}", mixed


def with_prefix(name, code, made, **more):
    """Cases of one request from (name, fields) pairs."""
    for variant, fields in made:
        yield Case(f"{name}/{variant}", Request(code, fields), **more)
