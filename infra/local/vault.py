"""The key that encrypts what the local cloud keeps on disk."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.fernet import Fernet

from infra.errors import LocalCloudError

RESET = "`docsearch local reset` forgets this local cloud and begins an empty one"


def fernet(key: Path, *, protects: Path, fresh: bool) -> Fernet:
    """Open the key beside a file that is encrypted with it.

    Args:
        key: Where the key lies; made if `fresh`, readable by its owner only.
        protects: The encrypted file, named in errors.
        fresh: Whether that file holds nothing yet. Only then may a missing key be made, and an old one be replaced:
            a process can be killed after it wrote the key and before it wrote the file.

    Raises:
        LocalCloudError: The file holds something, and the key is missing or not a key.
    """
    if fresh:
        return Fernet(_new(key))
    try:
        return Fernet(key.read_bytes())
    except FileNotFoundError:
        raise LocalCloudError(
            f"{key} is missing", why=f"{protects} cannot be decrypted without it", remedy=f"Put it back; or {RESET}"
        ) from None
    except ValueError:
        raise LocalCloudError(
            f"{key} holds no key", why="it is cut off or was changed", remedy=f"Put it back; or {RESET}"
        ) from None


def _new(path: Path) -> bytes:
    key = Fernet.generate_key()
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return key
