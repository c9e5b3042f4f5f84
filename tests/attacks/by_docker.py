"""The channel `docker`: a request as an SDK sends it, with the attacker's certificate."""
import base64
import json
import urllib.parse

import loads
import tars
import wire
from cases import Outcome
from stage import filled

LEGAL = "/%?&=:+,;@!$'()*~-._"
FORMS = ("victim_container", "victim_container_prefix12", "victim_container_name")


def target(path):
    return urllib.parse.quote(path, safe=LEGAL)


def body_of(case, known):
    body = case.body
    if body is None:
        return b""
    if isinstance(body, dict) and "tar" in body:
        entries = filled(body["tar"], known)
        if "ADD link" in str(entries):
            entries.append({"name": "link", "type": "symlink", "linkname": "/etc/passwd"})
        return tars.made(entries, body.get("compress"))
    return json.dumps(filled(body, known)).encode()


def headers_of(case, known, body):
    headers = {k: v for k, v in filled(case.headers, known).items() if body != b"" or k.lower() != "content-type"}
    if headers.get("X-Registry-Config", "").startswith("{base64"):
        many = {f"r{n}.example": {"username": "u", "password": known["secret_marker"]} for n in range(10_000)}
        headers["X-Registry-Config"] = base64.urlsafe_b64encode(json.dumps(many).encode()).decode()
    return list(headers.items())


def send(case, known, tenant, patience=60):
    """One outcome of the case's request by `tenant`, the placeholders being `known`."""
    body = body_of(case, known)
    path = target(filled(case.path, known))
    follows = any(word in path for word in ("follow=1", "attach", "stats", "/events"))
    if "/build" in path or not isinstance(body, bytes):
        # What would go on for ever shows itself within seconds.
        endless = isinstance(body, bytes) and (b"if=/dev/zero" in body or b":|:&" in body)
        patience = 15 if endless else 300
    try:
        answer = tenant.raw(case.method, path, headers_of(case, known, body), body, 8 if follows else patience)
    except wire.Closed as closed:
        return Outcome("tls_alert" if closed.alert else "close", None, path, str(closed))
    except TimeoutError:
        return Outcome("timeout", None, path)
    sent = path + urllib.parse.unquote(path) + str(case.headers) + (body.decode("latin-1") if isinstance(body, bytes) else "")
    if answer.cut and not follows:
        return Outcome("unbounded", answer, sent, f"still going on after {patience} s")
    return Outcome(token(case, answer), answer, sent + str(known.get("own_container", "")))


def token(case, answer):
    """The status; of a stream that had begun when the refusal came, the status that it stands for."""
    if answer.status == 200 and "200" not in case.expect and b'"errorDetail"' in answer.body:
        return "403" if b"(policy " in answer.body else "500"
    return str(answer.status)


def forms(case, known):
    """The victim's container by its full id, by a prefix and by its name, where the case says so."""
    if not case.precondition.startswith("run with full id"):
        yield known, {name: nobodys(known[name], known) for name in known if name.startswith("victim_") and known[name]}
        return
    used = next(form for form in FORMS if "{%s}" % form in case.path)
    for form in FORMS:
        nobody = {"victim_container": known["random_id"], "victim_container_prefix12": known["random_id"][:12],
                  "victim_container_name": "nobody-has-this-name"}[form]
        yield known | {used: known[form]}, {used: nobody}


def nobodys(value, known):
    """Of the same form as the victim's, so that only the existence differs."""
    if len(value) == 64:
        return known["random_id"]
    return value.replace(known["run"], known["random_id"][:len(known["run"])])


def attack(case, known, world):
    if isinstance(case.body, dict) and "gen" in case.body:
        return loads.attack(case, known, world)
    outcomes = []
    for with_victim, with_nobody in forms(case, known):
        outcome = send(case, with_victim, world.stage.a)
        if "not_found_identical" in case.checks_if_denied:
            outcome.twin = send(case, with_victim | with_nobody, world.stage.a)
            outcome.twin.note = json.dumps([[with_victim.get(k), v] for k, v in with_nobody.items()])
        outcomes.append(outcome)
    return outcomes
