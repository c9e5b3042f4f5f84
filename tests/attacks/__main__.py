"""attacks --data-dir DIR --wharfinger BINARY --cases FILE [--only ID,...] [--tries N] : see tests/attack."""
import argparse
import fnmatch
import sys
import time
import traceback

import by_absent
import by_docker
import cases
import checks
import controls
import decided
import report
from world import World

CHANNELS = {"docker": by_docker, "admin": by_absent, "portal": by_absent}
for _name in ("raw", "tls", "grpc", "container"):
    CHANNELS[_name] = __import__(f"by_{_name}")


def judge(case, known, world, found):
    """The result of one case and what is to be said of it."""
    channel = CHANNELS[case.channel]
    controls.run(case, known, world)
    watch = checks.Watch(world, case, known)
    watched = {"neighbour_slo", "bounded_memory"} & watch.names
    if watched:
        world.neighbour.watch()
    try:
        outcomes = channel.attack(case, known, world)
    finally:
        if watched:
            world.neighbour.rest()
    others = [o for o in outcomes if o.token not in case.expect]
    problems = watch.problems(outcomes)
    found.unchecked.update(watch.unchecked)
    listed = found.decided.get(case.id)
    if listed:
        tokens, reason = listed
        if not others:
            return "failed", f"it is as the case expects now: take it out of decided.tsv ({reason})"
        others = [o for o in others if o.token not in tokens]
    if others:
        for o in list({o.token: o for o in reversed(others)}.values())[::-1]:
            text = o.answer.text[-300:] if o.answer is not None else ""
            problems.insert(0, f"{o.token} instead of {'/'.join(case.expect)} {o.note} {text}")
    if not outcomes:
        problems.insert(0, "no outcome")
    if problems:
        return "failed", f"{case.method} {case.path[:120]}: " + "; ".join(problems)
    return ("decided", listed[1]) if listed else ("passed", "")


def run(case, world, found):
    try:
        if case.channel in by_absent.REASONS:
            by_absent.attack(case, {}, world)
        found.add(case, *judge(case, world.stage.values(case), world, found))
    except cases.Absent as absent:
        found.add(case, "absent", str(absent))
    except cases.Invalid as invalid:
        found.add(case, "invalid", str(invalid))
    except Exception as error:  # the runner's own mistake must not end the run, and is no pass
        found.add(case, "invalid", f"{type(error).__name__}: {error} ({traceback.format_exc().splitlines()[-3].strip()})")


def main():
    options = argparse.ArgumentParser(prog="tests/attack")
    for name in ("--cases", "--data-dir", "--wharfinger"):
        options.add_argument(name, required=True)
    options.add_argument("--only", default="*", help="ids, patterns, comma between")
    options.add_argument("--tries", type=int, default=20, help="rounds of each race")
    options.add_argument("--slow", type=float, default=0, help="name the cases that take longer, seconds")
    given = options.parse_args()
    found = report.Report(decided.read())
    chosen = [c for c in cases.read(given.cases) if any(fnmatch.fnmatch(c.id, p) for p in given.only.split(","))]
    world = World(given.data_dir, given.wharfinger, given.tries)
    for case in chosen:
        began = time.monotonic()
        run(case, world, found)
        try:
            world.stage.clean(case)
        except Exception as error:
            print(f"cleaning after {case.id}: {error}")
        if given.slow and time.monotonic() - began > given.slow:
            print(f"slow: {case.id} {time.monotonic() - began:.1f} s", flush=True)
    world.stage.end()
    sys.exit(not found.end())


main()
