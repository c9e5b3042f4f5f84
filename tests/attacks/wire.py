"""HTTP/1.1 over TLS by hand: every byte of a request is ours, and an answer is told from a cut connection."""
import select
import socket
import ssl
from dataclasses import dataclass, field

KEPT_MAX = 64 << 20


@dataclass
class Answer:
    status: int
    headers: list = field(default_factory=list)
    body: bytes = b""
    cut: bool = False  # more was to come: the stream went on when patience ended
    broken: bool = False  # the connection ended before the body's end

    def header(self, name):
        return next((value for key, value in self.headers if key == name), None)

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def all_text(self):
        return "\n".join(f"{key}: {value}" for key, value in self.headers) + "\n" + self.text


class Closed(Exception):
    """The server closed the connection without an answer; `alert` when TLS said why."""

    def __init__(self, why, alert=False):
        super().__init__(why)
        self.alert = alert


def context(bundle=None, ca=None, cert=None, key=None):
    """What a client with this bundle (a directory) trusts and shows."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(ca or f"{bundle}/ca.pem")
    if bundle or cert:
        made.load_cert_chain(cert or f"{bundle}/cert.pem", key or f"{bundle}/key.pem")
    return made


def dial(address, tls, patience=20, session=None):
    plain = socket.create_connection(address, timeout=patience)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        return tls.wrap_socket(plain, server_hostname=address[0], session=session)
    except (ssl.SSLError, OSError) as error:
        plain.close()
        raise Closed(str(error), alert=isinstance(error, ssl.SSLError)) from error


def head(method, target, headers, host):
    lines = [f"{method} {target} HTTP/1.1"]
    if not any(key.lower() == "host" for key, _ in headers):
        lines.append(f"Host: {host}")
    return ("\r\n".join(lines + [f"{key}: {value}" for key, value in headers]) + "\r\n\r\n").encode("utf-8", "surrogateescape")


class Reader:
    """Reads answers, one after the other, of one connection."""

    def __init__(self, stream):
        self.stream, self.kept = stream, b""

    def send(self, data):
        """Stops when the server has begun to answer or has gone: it need not read all that we have."""
        parts = (data[at:at + (1 << 16)] for at in range(0, len(data), 1 << 16)) if isinstance(data, bytes) else chunked(data)
        try:
            for part in parts:
                if self.answers():
                    return
                self.stream.sendall(part)
        except (ssl.SSLError, OSError):
            pass

    def answers(self):
        """Whether a byte of an answer is there. A readable socket alone may be a session ticket."""
        if not select.select([self.stream], [], [], 0)[0]:
            return False
        patience = self.stream.gettimeout()
        self.stream.settimeout(0)
        try:
            self.kept += self.stream.recv(1 << 16)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except (ssl.SSLError, OSError):
            return True
        finally:
            self.stream.settimeout(patience)
        return True

    def more(self):
        try:
            got = self.stream.recv(1 << 16)
        except ssl.SSLError as error:
            raise Closed(str(error), alert="ALERT" in str(error).upper()) from error
        except (TimeoutError, socket.timeout):
            raise
        except OSError as error:
            raise Closed(str(error)) from error
        if not got:
            raise Closed("closed")
        self.kept += got

    def until(self, mark):
        while mark not in self.kept:
            self.more()
        part, self.kept = self.kept.split(mark, 1)
        return part

    def exactly(self, count):
        while len(self.kept) < count:
            self.more()
        part, self.kept = self.kept[:count], self.kept[count:]
        return part

    def answer(self, method="GET"):
        first, *rest = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status = int(first.split(" ")[1])
        headers = [(k.strip().lower(), v.strip()) for k, v in (line.split(":", 1) for line in rest)]
        answer = Answer(status, headers)
        if method == "HEAD" or status in (101, 204, 304):
            return answer
        try:
            if (answer.header("transfer-encoding") or "") == "chunked":
                while size := int(self.until(b"\r\n").split(b";")[0], 16):
                    answer.body += self.exactly(size)
                    self.exactly(2)
                    if len(answer.body) > KEPT_MAX:
                        answer.cut = True
                        return answer
                self.until(b"\r\n")
            elif answer.header("content-length") is not None:
                answer.body = self.exactly(int(answer.header("content-length")))
            else:
                while True:
                    self.more()
        except (TimeoutError, socket.timeout):
            answer.cut, answer.body = True, answer.body + self.kept
        except Closed:
            answer.broken = answer.header("content-length") is not None or answer.header("transfer-encoding") is not None
            answer.body += self.kept
        return answer


def chunked(parts):
    """Of unknown length."""
    for part in parts:
        yield b"%x\r\n%s\r\n" % (len(part), part)
    yield b"0\r\n\r\n"


def call(address, tls, method, target, headers=(), body=b"", patience=20):
    """One request on a connection of its own. `body` is bytes, or parts whose sum nobody knows."""
    headers = list(headers)
    names = {key.lower() for key, _ in headers}
    if not isinstance(body, bytes):
        headers.append(("Transfer-Encoding", "chunked"))
    elif (body or method in ("POST", "PUT", "PATCH")) and not names & {"content-length", "transfer-encoding"}:
        headers.append(("Content-Length", str(len(body))))
    with dial(address, tls, patience) as stream:
        reader = Reader(stream)
        reader.send(head(method, target, headers, f"{address[0]}:{address[1]}"))
        reader.send(body)
        return reader.answer(method)
