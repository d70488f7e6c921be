"""The exceptions that configuration and components raise.

    DocsearchError
    ├── ConfigError    a stack file holds a value that cannot work
    ├── ArgsError      a component was given an argument that cannot work
    └── (infra.errors) what can go wrong while running

Every message gives the value, the reason and the remedy.
"""


class DocsearchError(Exception):
    """Base of every error that docsearch raises on purpose.

    Args:
        what: What is wrong, naming the value.
        why: Why it cannot work.
        remedy: What to do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, why: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.why, self.remedy = what, why, remedy

    def __str__(self) -> str:
        parts = [self.what + (f": {self.why}" if self.why else "")]
        if self.remedy:
            parts.append(self.remedy)
        return ". ".join(part.rstrip(".") for part in parts) + "."


class ConfigError(DocsearchError):
    """A stack file holds a value that cannot work."""

    exit_code = 2


class ArgsError(DocsearchError, ValueError):
    """A component was given an argument that cannot work."""

    exit_code = 2
