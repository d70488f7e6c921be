"""`python -m infra.local.state --root DIR --port N` serves; with ``--restore`` it mends a damaged checkpoint."""

import argparse
import signal
import sys
import threading
from pathlib import Path

from infra.local.state.journal import StateError
from infra.local.state.server import serve
from infra.local.state.service import GRACE_S, Service, StackName


def main(argv: list[str] | None = None) -> int:
    """Run the command; gives its exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.state", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of the state")
    parser.add_argument("--port", type=int, default=0, help="loopback port to listen on; 0 picks a free one")
    parser.add_argument("--grace", type=float, default=GRACE_S, help="seconds an update waits for a vanished client")
    parser.add_argument("--restore", metavar="ORG/PROJECT/STACK", help="rebuild this stack's checkpoint, then exit")
    options = parser.parse_args(argv)
    try:
        if options.restore:
            return _restore(options.root, options.restore)
        return _serve(options.root, options.port, options.grace)
    except StateError as error:
        print(error, file=sys.stderr)
        return error.exit_code


def _serve(root: Path, port: int, grace_s: float) -> int:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    server = serve(root, port, grace_s=grace_s)
    server.start()
    print(server.url, flush=True)
    ended.wait()
    server.stop()
    return 0


def _restore(root: Path, stack: str) -> int:
    parts = stack.split("/")
    if len(parts) != len(StackName._fields):
        raise StateError(f"{stack} is not the full name of a stack", remedy="Name it ORG/PROJECT/STACK")
    service = Service(root)
    try:
        checkpoint = service.stack(StackName(*parts)).restore()
    except FileNotFoundError as missing:
        raise StateError(f"{missing.filename} does not exist", why="the stack had fewer than two updates") from missing
    finally:
        service.close()
    print(f"{stack}: version {checkpoint.version}, {checkpoint.resources} resources")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
