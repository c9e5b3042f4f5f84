"""The channels that nothing answers yet: the operators' API and the tenants' portal."""
from cases import Absent

REASONS = {"admin": "there is no operators' API yet", "portal": "there is no portal yet"}


def attack(case, known, world):
    raise Absent(REASONS[case.channel])
