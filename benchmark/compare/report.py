"""Results as JSON and Markdown: min / median / max of the rounds, ratios taken round by round, because
the machine's speed changes between rounds."""

import json
import statistics
from pathlib import Path

HEADING = ("Cells: min / **median** / max of the rounds; ratios are taken round by round, columns named "
           "a / b.")
# Only in the JSON unless a section wants all: they follow from others or seldom matter.
HIDDEN = {"MB/s", "RSS peak MiB", "disk write MB/s", "disk read MB/s", "mean disk write KiB",
          "server read MB/s"}


class Section:
    """Results of one suite: rounds of {case: {column: {figure: value}}}."""

    def __init__(self, name, goal, columns, ratios, hidden=frozenset(HIDDEN)):
        self.name = name
        self.hidden = hidden
        self.goal = goal
        self.columns = list(columns)
        # Pairs of columns: first / second.
        self.ratios = [pair for pair in ratios if set(pair) <= set(self.columns)]
        self.rounds = []
        self.notes = []

    def add(self, round_number, case, column, figures):
        """Adds figures; those of an earlier call for the same cell stay."""
        while len(self.rounds) <= round_number:
            self.rounds.append({})
        cell = self.rounds[round_number].setdefault(case, {}).setdefault(column, {})
        cell.update(figures)

    def note(self, text):
        """A sentence below the table."""
        print(f"  note: {text}", flush=True)
        if text not in self.notes:
            self.notes.append(text)

    def values(self, case, figure, column):
        """One value a round, None where there is none."""
        cells = (one.get(case, {}).get(column, {}) for one in self.rounds)
        return [cell.get(figure) for cell in cells]

    def cases(self):
        return list(dict.fromkeys(case for one in self.rounds for case in one))

    def figures(self, case):
        names = (figure for one in self.rounds for cell in one.get(case, {}).values()
                 for figure in cell)
        return list(dict.fromkeys(names))

    def markdown(self):
        """The table."""
        heads = [*self.columns, *(f"{first} / {second}" for first, second in self.ratios)]
        lines = [f"## {self.name}", "", self.goal, "", f"| case | figure | {' | '.join(heads)} |",
                 "|---|---|" + "---|" * len(heads)]
        for case in self.cases():
            for figure in (each for each in self.figures(case) if each not in self.hidden):
                row = self.row(case, figure)
                if row:
                    lines.append(f"| {case} | {figure} | {' | '.join(row)} |")
        lines += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines).rstrip() + "\n"

    def row(self, case, figure):
        columns = {column: self.values(case, figure, column) for column in self.columns}
        if figure != "failed" and not any(value for values in columns.values() for value in values):
            return None
        cells = [spread(columns[column]) for column in self.columns]
        for first, second in self.ratios:
            ratios = [over / under for over, under in zip(columns[first], columns[second])
                      if under and over is not None]
            cells.append(spread(ratios))
        return cells

    def plain(self):
        """For JSON."""
        return {"name": self.name, "goal": self.goal, "columns": self.columns,
                "ratios": self.ratios, "rounds": self.rounds, "notes": self.notes}


def number(value):
    """Some digits of a number."""
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def spread(values):
    """min / median / max, or the value if there is but one."""
    values = [value for value in values if value is not None]
    if not values:
        return "-"
    if len(values) == 1:
        return f"**{number(values[0])}**"
    return f"{number(min(values))} / **{number(statistics.median(values))}** / {number(max(values))}"


def write(folder, section, options, conditions):
    """Writes NAME.json and NAME.md; the path of the latter."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {key: value for key, value in vars(options).items() if key != "suites"}
    plain = {"options": settings, "conditions": conditions, **section.plain()}
    (folder / f"{section.name}.json").write_text(json.dumps(plain, indent=1, default=str))
    text = f"{section.markdown()}\n{HEADING} {conditions}\n"
    path = folder / f"{section.name}.md"
    path.write_text(text)
    return path
