import stat
from pathlib import Path

import pytest

from infra.errors import LocalCloudError
from infra.local.vault import fernet


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "data.key"


def test_what_one_process_encrypts_another_decrypts(key: Path) -> None:
    token = fernet(key, protects=Path("data"), fresh=True).encrypt(b"text")
    assert fernet(key, protects=Path("data"), fresh=False).decrypt(token) == b"text"


def test_only_its_owner_may_read_the_key(key: Path) -> None:
    fernet(key, protects=Path("data"), fresh=True)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_key_that_protects_nothing_yet_is_made_anew(key: Path) -> None:
    key.write_bytes(b"half a k")
    fernet(key, protects=Path("data"), fresh=True)
    fernet(key, protects=Path("data"), fresh=False)


def test_a_missing_key_is_not_replaced(key: Path) -> None:
    with pytest.raises(LocalCloudError, match=r"data\.key is missing: data cannot be decrypted without it.*reset"):
        fernet(key, protects=Path("data"), fresh=False)
    assert not key.exists()


def test_a_broken_key_is_refused(key: Path) -> None:
    key.write_bytes(b"half a k")
    with pytest.raises(LocalCloudError, match=r"data\.key holds no key"):
        fernet(key, protects=Path("data"), fresh=False)
