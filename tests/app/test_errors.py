"""Every error is a problem of RFC 9457."""

import pytest

from app.errors import ApiError, RateLimitedError, every_error


@pytest.mark.parametrize("kind", every_error())
def test_an_error_gives_value_reason_and_remedy(kind: type[ApiError]) -> None:
    error = kind("size is 0", why="a page holds 1 to 100", remedy="Leave it out")
    assert str(error) == "size is 0: a page holds 1 to 100. Leave it out."
    assert error.problem("abc") == {
        "type": f"urn:docsearch:problem:{kind.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": "size is 0: a page holds 1 to 100",
        "code": kind.code,
        "remedy": "Leave it out",
        "correlation_id": "abc",
    }


def test_what_is_not_known_is_left_out() -> None:
    assert set(RateLimitedError("too often", retry_after=2.0).problem()) == {
        "type",
        "title",
        "status",
        "detail",
        "code",
    }
    assert RateLimitedError("too often", pointer="/query").problem()["pointer"] == "/query"


def test_codes_tell_errors_apart() -> None:
    codes = [kind.code for kind in every_error()]
    assert len(set(codes)) == len(codes)
    assert all(kind.title and not kind.title.endswith(".") for kind in every_error())
