"""What came of the cases: a line for each that failed or was invalid, tables, and the last line."""
import collections

RESULTS = ("passed", "failed", "invalid", "decided", "absent")


class Report:
    def __init__(self, decided):
        self.decided, self.rows, self.unchecked = decided, [], collections.Counter()

    def add(self, case, result, text=""):
        self.rows.append((case, result, text))
        if result in ("failed", "invalid"):
            print(f"{result} {case.id} {case.severity} {case.channel}: {' '.join(text.split())[:900]}", flush=True)

    def count(self, **where):
        rows = [r for r in self.rows if all(getattr(r[0], key) == value for key, value in where.items())]
        return {result: sum(row[1] == result for row in rows) for result in RESULTS}

    def table(self, by):
        for value in dict.fromkeys(getattr(row[0], by) for row in self.rows):
            counts = self.count(**{by: value})
            print(f"{by} {value}: " + ", ".join(f"{n} {name}" for name, n in counts.items() if n))

    def end(self):
        for case, result, text in self.rows:
            if result == "decided":
                print(f"decided otherwise {case.id} {case.severity}: {text}")
        for reason in dict.fromkeys(text for _, result, text in self.rows if result == "absent"):
            print(f"absent, {sum(r[1:] == ('absent', reason) for r in self.rows)} cases: {reason}")
        for (name, reason), count in self.unchecked.most_common():
            print(f"not checked: {name} of {count} cases: {reason}")
        self.table("channel")
        self.table("severity")
        total = self.count()
        # A listed difference is neither: the last line's three are of the cases that are held to the file.
        print(f"{total['passed']} passed, {total['failed']} failed, {total['invalid']} invalid, "
              f"{total['decided']} decided otherwise, {total['absent']} absent")
        return not total["failed"] and not total["invalid"]
