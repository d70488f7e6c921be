"""The exceptions of the search API: one tree, and what each looks like to a caller.

    ApiError                       500  internal
    ├── StandbyError               307  standby
    ├── SettingsError                   the process cannot start with these settings (exit code 2)
    ├── InvalidRequestError        400  invalid-request
    │   ├── InvalidQueryError      400  invalid-query
    │   ├── InvalidDocumentError   400  invalid-document
    │   └── InvalidCursorError     400  invalid-cursor
    ├── UnauthenticatedError       401  unauthenticated
    ├── ForbiddenError             403  forbidden
    ├── NotFoundError              404  not-found
    ├── MethodNotAllowedError      405  method-not-allowed
    ├── ConflictError              409  conflict
    ├── PreconditionFailedError    412  precondition-failed
    ├── TooLargeError              413  too-large
    ├── UnsupportedMediaTypeError  415  unsupported-media-type
    ├── RateLimitedError           429  rate-limited
    ├── OverloadedError            503  overloaded
    ├── UnavailableError           503  unavailable
    └── DeadlineExceededError      504  deadline-exceeded

A caller gets a problem of RFC 9457 (``application/problem+json``): ``type``, ``title``, ``status``, ``detail``, and
beside the standard's members ``code``, ``remedy``, ``correlation_id`` and, where a part of the request is at fault, its
JSON Pointer (RFC 6901) as ``pointer``.
"""

from collections.abc import Iterable
from typing import Any, ClassVar, Final

#: ``type`` of a problem is this and its code. It names the problem and need not be fetched (RFC 9457, section 3.1.1).
TYPES: Final = "urn:docsearch:problem:"

MEDIA_TYPE: Final = "application/problem+json"


class ApiError(Exception):
    """Base of every error that the search API raises on purpose.

    Args:
        what: What is wrong, naming the value.
        why: Why it cannot work.
        remedy: What to do about it.
        pointer: Where in the request, as a JSON Pointer.
        retry_after: After how long to try again, s.
        location: Where to send the same request instead, as an URL.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "The request could not be carried out"
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        what: str,
        *,
        why: str = "",
        remedy: str = "",
        pointer: str = "",
        retry_after: float | None = None,
        location: str = "",
    ) -> None:
        super().__init__(what)
        self.what, self.why, self.remedy = what, why, remedy
        self.pointer, self.retry_after, self.location = pointer, retry_after, location

    @property
    def detail(self) -> str:
        """What is wrong, and why."""
        return self.what + (f": {self.why}" if self.why else "")

    def __str__(self) -> str:
        return ". ".join(part.rstrip(".") for part in (self.detail, self.remedy) if part) + "."

    def problem(self, correlation_id: str = "") -> dict[str, Any]:
        """The body of the answer."""
        body: dict[str, Any] = {
            "type": f"{TYPES}{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        optional = {"remedy": self.remedy, "pointer": self.pointer, "correlation_id": correlation_id}
        return body | {name: value for name, value in optional.items() if value}


class SettingsError(ApiError):
    """The process cannot start with these settings."""

    code, title = "settings", "The settings cannot work"
    exit_code = 2


class StandbyError(ApiError):
    """This region takes no writes: the same request goes to the primary, whose address is in ``Location``."""

    status, code, title = 307, "standby", "The primary region takes this"


class InvalidRequestError(ApiError):
    """The request cannot be read."""

    status, code, title = 400, "invalid-request", "The request is not valid"


class InvalidQueryError(InvalidRequestError):
    """A query asks for something that cannot be searched."""

    code, title = "invalid-query", "The query is not valid"


class InvalidDocumentError(InvalidRequestError):
    """A document cannot be stored."""

    code, title = "invalid-document", "The document is not valid"


class InvalidCursorError(InvalidRequestError):
    """A cursor is malformed, altered, expired, or of another tenant or query."""

    code, title = "invalid-cursor", "The cursor is not valid"


class UnauthenticatedError(ApiError):
    """Nobody known asks."""

    status, code, title = 401, "unauthenticated", "Credentials are needed"


class ForbiddenError(ApiError):
    """Somebody known asks for something that is not theirs."""

    status, code, title = 403, "forbidden", "The credentials do not allow this"


class NotFoundError(ApiError):
    """There is no such thing for this tenant. Another tenant's things are not found, either."""

    status, code, title = 404, "not-found", "There is no such thing"


class MethodNotAllowedError(ApiError):
    """The resource has no such method.

    Args:
        what: What is wrong, naming the value.
        why: The reason; by default the methods that there are.
        remedy: What to do.
        allowed: The methods that it has, which the answer has to name (RFC 9110, section 15.5.6).
    """

    status, code, title = 405, "method-not-allowed", "The resource does not have this method"

    def __init__(self, what: str, *, why: str = "", remedy: str = "", allowed: Iterable[str] = ()) -> None:
        self.allowed = ", ".join(sorted(allowed))
        super().__init__(what, why=why or f"it has {self.allowed}", remedy=remedy)


class RequestTimeoutError(ApiError):
    """The request itself did not come in time."""

    status, code, title = 408, "request-timeout", "The request took too long to come"


class ConflictError(ApiError):
    """The request does not fit what there is."""

    status, code, title = 409, "conflict", "The request conflicts with what there is"


class PreconditionFailedError(ApiError):
    """The resource is no longer what the caller has seen."""

    status, code, title = 412, "precondition-failed", "The resource has changed"


class TooLargeError(ApiError):
    """The body is larger than what is taken."""

    status, code, title = 413, "too-large", "The body is too large"


class UnsupportedMediaTypeError(ApiError):
    """The body is of a type that is not read here."""

    status, code, title = 415, "unsupported-media-type", "The body's type is not read here"


class RateLimitedError(ApiError):
    """The caller asks more often than its limit allows."""

    status, code, title = 429, "rate-limited", "Too many requests"


class OverloadedError(ApiError):
    """The service has as much to do as it can."""

    status, code, title = 503, "overloaded", "The service is overloaded"


class UnavailableError(ApiError):
    """Something that the request cannot do without does not answer."""

    status, code, title = 503, "unavailable", "The service is not available"


class DeadlineExceededError(ApiError):
    """The answer was not there in time."""

    status, code, title = 504, "deadline-exceeded", "The answer took too long"


def every_error() -> tuple[type[ApiError], ...]:
    """The tree above, from the root down. What others derive of it looks the same to a caller."""
    found: list[type[ApiError]] = [ApiError]
    for kind in found:
        found += (one for one in kind.__subclasses__() if one.__module__ == __name__)
    return tuple(found)
