"""The AWS side of the local cloud: moto behind a journal, as one process.

    python -m infra.local.cloud --root DIR --port N [--account ID]

Serves every AWS API that moto knows at `http://127.0.0.1:N`, for all regions, and:

    GET    /docsearch/health    readiness, process id, how much was journalled and replayed
    GET    /docsearch/faults    the injected faults and what they did
    POST   /docsearch/faults    one more fault (infra.local.faults.Rule as JSON)
    DELETE /docsearch/faults    no more faults

One request is answered at a time. moto is not made for parallel changes, is bound by the interpreter lock anyway, and
so the order of the journal is the order of events.
"""

import argparse
import gc
import hashlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.errors import LocalCloudError
from infra.local.calls import Call, Reply, identify, refusal
from infra.local.chance import Chance
from infra.local.daemon import DEFAULT_ACCOUNT
from infra.local.faults import Faults, Rule
from infra.local.journal import Entry, Journal

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Read by moto when it is imported.
_MOTO = {
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",  # Half a second and 40 MB; our nodes name no AMI.
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",  # Roles attach AWS's own policies.
    "MOTO_ACM_VALIDATION_WAIT": "0",  # Certificates are issued as soon as somebody looks.
    "MOTO_DISABLE_GLOBAL_CORS": "true",
}

# The service that takes 1 to 2 s to import is there before we say that we are ready; the others of our stacks follow in
# the background, so that no first call waits. Named as requests are signed.
_SLOW = "ec2"
_WARM = (
    "sts iam kms s3 rds secretsmanager route53 logs monitoring elasticloadbalancing backup eks es elasticache mq"
    " sns acm"
).split()

# How long a stop waits for the request under way, in seconds. Giving up loses nothing: nobody was told of the change.
_PATIENCE = 5.0

_PRESERVED = "moto.preserved_header_names"
_HOP_BY_HOP = frozenset({"HTTP_CONNECTION", "HTTP_EXPECT", "HTTP_TRANSFER_ENCODING", "CONTENT_LENGTH"})
_REQUEST_LINE = frozenset(
    "REQUEST_METHOD SCRIPT_NAME PATH_INFO QUERY_STRING REQUEST_URI RAW_URI CONTENT_TYPE SERVER_NAME SERVER_PORT".split()
)


def prepare(account: str) -> None:
    """Sets what moto reads from the environment. Call before moto is imported."""
    os.environ.update(_MOTO, MOTO_ACCOUNT_ID=account)


class Cloud:
    """The WSGI application: admin requests, then faults, then moto.

    Args:
        moto: moto's own application.
        journal: Where changes are kept.
        chance: Installed; decides ids and dates.
        faults: What goes wrong on purpose.
        give_up: Called when a change was made but cannot be written down; by default ends the process.
    """

    def __init__(
        self,
        moto: "WSGIApplication",
        journal: Journal,
        chance: Chance,
        faults: Faults,
        give_up: Callable[[Exception], object] | None = None,
    ) -> None:
        self._moto = moto
        self._journal = journal
        self._chance = chance
        self._faults = faults
        self._give_up = give_up or _give_up
        self._lock = threading.Lock()
        self._replayed = threading.Event()
        self._health: dict[str, Any] = {"ready": False, "replayed": 0, "entries": journal.count(), "differences": 0}

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        body = _read_body(environ)
        if str(environ["PATH_INFO"]).startswith("/docsearch/"):
            reply = self._administer(environ["REQUEST_METHOD"], environ["PATH_INFO"], body)
        else:
            call = identify(environ, body)
            reply = self._faults.meet(call) or self._answer(call, environ, body)
        status = HTTPStatus(reply.status)
        start_response(f"{status.value} {status.phrase}", list(reply.headers))
        return [reply.body]

    def replay(self, tell: Callable[[str], None] = lambda line: None, every_s: float = 2.0) -> None:
        """Makes every journalled change again. No request is answered before that is done.

        Args:
            tell: Takes lines of progress and of what is unusual.
            every_s: Seconds between lines of progress.

        Raises:
            LocalCloudError: The journal is damaged, or a request is answered with another status than it was.
        """
        with self._lock:
            start = told = time.monotonic()
            for entry in self._journal.entries():
                call = identify(entry.environ, entry.body)
                reply, _ = self._perform(call, entry.environ, entry.preserved, entry.body, entry.sequence, entry.when)
                if reply.status != entry.status:
                    raise LocalCloudError(
                        f"{self._journal.path} cannot be replayed: request {entry.sequence} ({call}) was answered"
                        f" with {entry.status}, now with {reply.status}",
                        why="another version of moto or of docsearch wrote it",
                        remedy="Use that version; or `docsearch local reset` forgets this local cloud",
                    )
                if _digest(reply.body) != entry.digest:
                    self._health["differences"] += 1
                    tell(f"request {entry.sequence} ({call}) is answered differently than at first")
                self._health["replayed"] = entry.sequence
                if time.monotonic() - told >= every_s:
                    told = time.monotonic()
                    tell(f"replayed {entry.sequence} of {self._health['entries']} requests")
            if self._journal.dropped:
                tell(f"dropped an unfinished last line of {self._journal.dropped} bytes")
            self._health |= {"ready": True, "replay_seconds": round(time.monotonic() - start, 3)}
        self._replayed.set()

    def warm(self, load: Callable[[], object]) -> None:
        """Runs something that imports a part of moto, between two requests."""
        with self._lock:
            load()

    def close(self) -> None:
        """Lets the request under way finish, then closes the journal; further requests wait for ever."""
        if self._lock.acquire(timeout=_PATIENCE):
            self._journal.close()

    def _answer(self, call: Call, environ: Mapping[str, Any], body: bytes) -> Reply:
        texts = {
            key: value
            for key, value in environ.items()
            if (key.startswith("HTTP_") or key in _REQUEST_LINE) and key not in _HOP_BY_HOP
        }
        preserved = environ.get(_PRESERVED, {})
        # Whoever asks before, by a retry that met this process on its way up, would be told that nothing is there. If
        # the replay fails, it waits until the process ends.
        self._replayed.wait()
        with self._lock:
            sequence, when = self._journal.sequence + 1, time.time()
            reply, drew = self._perform(call, texts, preserved, body, sequence, when)
            # A read that drew made something: a default key, an entry in a bucket's access log.
            journalled = drew or not call.reads
            if journalled:
                entry = Entry(
                    sequence=sequence,
                    when=when,
                    environ=texts,
                    preserved=preserved,
                    status=reply.status,
                    digest=_digest(reply.body),
                    body=body,
                )
                self._keep(lambda: self._journal.append(entry))
        if journalled:
            self._keep(self._journal.sync)
        return reply

    def _keep(self, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as error:
            self._give_up(error)
            raise

    def _perform(
        self,
        call: Call,
        texts: Mapping[str, str],
        preserved: Mapping[str, str],
        body: bytes,
        sequence: int,
        when: float,
    ) -> tuple[Reply, bool]:
        """moto's answer, which depends on the arguments and on earlier requests only; and whether it drew."""
        environ: WSGIEnvironment = {
            **texts,
            "CONTENT_LENGTH": str(len(body)),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            _PRESERVED: dict(preserved),
        }
        started: list[tuple[int, tuple[tuple[str, str], ...]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Any:
            started.append((int(status.split()[0]), tuple(headers)))

        with self._chance.at(str(sequence), when) as drew:
            try:
                answer = self._moto(environ, start_response)
                content = b"".join(answer)
                if close := getattr(answer, "close", None):
                    close()
            except Exception as error:  # noqa: BLE001 (moto may fail in any way; the journal must hold it all the same)
                return _failure(call, error), drew()
            status, headers = started[-1]
            return Reply(status=status, headers=headers, body=content), drew()

    def _administer(self, method: str, path: str, body: bytes) -> Reply:
        match method, path:
            case "GET", "/docsearch/health":
                return _json(200, self._health | {"pid": os.getpid(), "sequence": self._journal.sequence})
            case "GET", "/docsearch/faults":
                return _json(200, {"faults": self._faults.report()})
            case "POST", "/docsearch/faults":
                try:
                    self._faults.add(Rule.parse(body))
                except LocalCloudError as error:
                    return _json(400, {"error": str(error)})
                return _json(200, {"faults": self._faults.report()})
            case "DELETE", "/docsearch/faults":
                self._faults.clear()
                return _json(200, {"faults": []})
        return _json(404, {"error": f"{method} {path} is not known here"})


def _json(status: int, value: object) -> Reply:
    return Reply(status=status, headers=(("Content-Type", "application/json"),), body=json.dumps(value).encode())


def _digest(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=12).hexdigest()


def _read_body(environ: "WSGIEnvironment") -> bytes:
    source = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        return bytes(source.read())
    return bytes(source.read(int(environ.get("CONTENT_LENGTH") or 0)))


def _failure(call: Call, error: Exception) -> Reply:
    """moto crashed. The place is told, not the message: that may quote a secret of the request.

    501 is no status that boto3 retries: the same request would fail again.
    """
    frame = traceback.extract_tb(error.__traceback__)[-1]
    reason = str(error) if isinstance(error, NotImplementedError) else ""
    place = f"{Path(frame.filename).parent.name}/{Path(frame.filename).name}:{frame.lineno}"
    message = f"moto cannot answer {call}: {type(error).__name__} in {place}. {reason}".strip()
    print(message, file=sys.stderr, flush=True)
    return refusal(call, 501, "NotImplementedByLocalCloud", message)


def _give_up(error: Exception) -> None:
    """Ends the process at once: it holds a change that the journal lacks. The next start goes by the journal."""
    print(f"the journal cannot be written ({error}): stopping", file=sys.stderr, flush=True)
    os._exit(LocalCloudError.exit_code)


def serve(root: Path, port: int, account: str, tell: Callable[[str], None]) -> None:
    """Replays the journal and answers until SIGTERM or SIGINT.

    Args:
        root: Directory of the journal.
        port: TCP port on 127.0.0.1.
        account: AWS account id to answer as.
        tell: Takes lines of progress.

    Raises:
        LocalCloudError: The port is taken or the journal cannot be read.
    """
    prepare(account)
    from infra.local.wsgi import Moto, Server  # noqa: PLC0415 (imports moto, which reads the environment)

    server = Server(port)
    journal = Journal(root, account)
    chance = Chance(bytes.fromhex(journal.header.salt), journal.header.born)
    with chance.installed():
        moto = Moto(chance)
        cloud = Cloud(moto, journal, chance, Faults())
        server.app = cloud
        failure: list[LocalCloudError] = []
        stopping = threading.Event()

        def begin() -> None:
            try:
                cloud.warm(partial(moto.load, _SLOW))
                cloud.replay(tell)
            except LocalCloudError as error:
                failure.append(error)
                server.shutdown()
                return
            for service in _WARM:
                cloud.warm(partial(moto.load, service))
                if stopping.wait(0.01):  # The lock is not fair: callers need a moment to take it.
                    return

        def stop(number: int, frame: object) -> None:
            stopping.set()
            # `shutdown` waits for the loop that this signal interrupted.
            threading.Thread(target=server.shutdown).start()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        threading.Thread(target=begin, daemon=True).start()
        server.serve_forever(poll_interval=0.1)
        if failure:
            raise failure[0]
        cloud.close()


def main(arguments: list[str] | None = None) -> int:
    """Runs the process; its exit code is that of the error it prints."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.cloud", description="The AWS side of the local cloud.")
    parser.add_argument("--root", type=Path, required=True, help="directory of the journal")
    parser.add_argument("--port", type=int, required=True, help="TCP port on 127.0.0.1")
    parser.add_argument("--account", default=DEFAULT_ACCOUNT, help="AWS account id, 12 digits")
    options = parser.parse_args(arguments)
    # moto's tables only grow; looking through them again and again took a sixth of an update.
    gc.set_threshold(50_000, 20, 20)
    try:
        serve(options.root, options.port, options.account, lambda line: print(line, file=sys.stderr, flush=True))
    except LocalCloudError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    # The order in which moto walks through its sets shows in answers, and must be that of the last run.
    if sys.flags.hash_randomization:
        os.execve(sys.executable, sys.orig_argv, os.environ | {"PYTHONHASHSEED": "0"})  # noqa: S606
    sys.exit(main())
