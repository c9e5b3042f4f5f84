"""A case of the file: what is sent, by whom, over which channel, and what must hold. Placeholders are still in it."""
import json
from dataclasses import dataclass

SERIOUS = ("critical", "high")


@dataclass(frozen=True)
class Case:
    id: str
    area: str
    severity: str
    tier: str
    actor: str
    channel: str
    method: str
    path: str
    headers: dict
    body: object
    precondition: str
    expect: tuple
    must_hold: str
    checks_if_denied: tuple
    checks_always: tuple
    ref: str
    control: str

    @property
    def text(self):
        """All of it that may hold placeholders."""
        return self.path + json.dumps([self.headers, self.body])


@dataclass
class Outcome:
    """What one request of a case came to: `token` is what the case's `expect` speaks of."""
    token: str
    answer: object = None  # wire.Answer, where there was one
    request: str = ""
    note: str = ""
    twin: object = None    # the same request with an id that nobody has: its Outcome

    @property
    def denied(self):
        return not self.token.startswith("2") and self.token not in ("101", "304")


class Invalid(Exception):
    """The case says nothing here: its precondition cannot be made, or its control failed."""


class Absent(Exception):
    """What the case attacks does not exist."""


def read(path):
    with open(path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    return [Case(**{key: tuple(value) if isinstance(value, list) and key != "body" else value for key, value in row.items()})
            for row in rows]
