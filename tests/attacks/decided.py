"""What the project decided otherwise than a case expects: decided.tsv, `id`, what happens instead, and why."""
import pathlib


def read(path=pathlib.Path(__file__).with_name("decided.tsv")):
    rows = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            ident, token, reason = line.split("\t")
            rows[ident] = (set(token.split(",")), reason)
    return rows
