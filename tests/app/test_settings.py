"""What a process is told, and what it refuses to start with."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.errors import SettingsError
from app.settings import SECRETS, load, options


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, _ in options():
        monkeypatch.delenv(name, raising=False)


def test_without_any_setting_the_service_is_embedded_and_answers_this_machine_alone() -> None:
    settings = load()
    assert settings.embedded
    assert settings.listen_at == "127.0.0.1"
    assert (settings.pool_min, settings.pool_max) == (10, 50)


def test_variables_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOME": "/elsewhere", "PORT": "1", "ADDRESS": "x", "home": "/other"}.items():
        monkeypatch.setenv(name, value)
    assert (load().home, load().port, load().address) == (Path(".docsearch"), 8080, "")


def test_the_variables_of_the_platform_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"DATABASE_HOST": "db", "DATABASE_READERS": "a, b,", "DOCSEARCH_PORT": "8081", "CACHE_PORT": "6380"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert not settings.embedded
    assert settings.readers() == ("a", "b")
    assert (settings.port, settings.cache_port) == (8081, 6380)
    assert settings.listen_at == "0.0.0.0"


def test_an_option_of_the_command_line_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCSEARCH_PORT", "8081")
    assert load(port=9000).port == 9000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DOCSEARCH_PORT", "x"),
        ("DOCSEARCH_PORT", "70000"),
        ("DATABASE_POOL_MAX", "0"),
        ("DOCSEARCH_TRACE_RATIO", "2"),
        ("DATABASE_TLS", "perhaps"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        load()


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_a_value_or_a_file(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("b" * 40 + "\n")
    monkeypatch.setenv(name.upper(), "a" * 40)
    assert load().secret(name) == b"a" * 40
    monkeypatch.setenv(f"{name.upper()}_FILE", str(file))
    with pytest.raises(SettingsError, match="both set"):
        load().secret(name)
    monkeypatch.delenv(name.upper())
    assert load().secret(name) == b"b" * 40
    file.unlink()
    with pytest.raises(SettingsError, match="cannot be read"):
        load().secret(name)


def test_a_short_secret_is_refused_without_being_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURSOR_KEY", "hunter2")
    settings = load()
    with pytest.raises(SettingsError, match="7 characters") as refused:
        settings.secret("cursor_key")
    assert "hunter2" not in str(refused.value) + repr(settings)


@pytest.mark.parametrize("name", SECRETS)
def test_former_secrets_come_after_the_one_of_today(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name.upper(), "a" * 40)
    assert load().secrets(name) == (b"a" * 40,)
    monkeypatch.setenv(f"{name.upper()}_PREVIOUS", f"{'b' * 40}  {'c' * 40}\n")
    assert load().secrets(name) == (b"a" * 40, b"b" * 40, b"c" * 40)
    assert load().secret(name) == b"a" * 40
    monkeypatch.setenv(f"{name.upper()}_PREVIOUS", f"{'b' * 40} hunter2")
    with pytest.raises(SettingsError, match=f"{name.upper()}_PREVIOUS has 7 characters") as refused:
        load().secrets(name)
    assert "hunter2" not in str(refused.value) + repr(load())


def test_an_embedded_secret_is_made_once(tmp_path: Path) -> None:
    settings = load(home=tmp_path)
    with ThreadPoolExecutor(8) as pool:
        made = {*pool.map(settings.secret, ["cursor_key"] * 32)}
    assert len(made) == 1
    assert load(home=tmp_path).secret("cursor_key") in made
    (kept,) = (tmp_path / "api/secrets").iterdir()
    assert kept.stat().st_mode & 0o077 == 0


def test_a_secret_is_never_made_up_where_others_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_HOST", "db")
    with pytest.raises(SettingsError, match="API_KEY_PEPPER is not set"):
        load().secret("api_key_pepper")
    monkeypatch.setenv("API_KEY_PEPPER_ARN", "arn:aws:secretsmanager:us-east-1:123456789012:secret:x")
    assert load().arn("api_key_pepper").endswith(":x")


def test_every_option_says_what_it_is() -> None:
    assert all(field.description for _, field in options())
