"""What every component test uses: the fixture `recorded`."""

from tests.recording import recorded

__all__ = ["recorded"]
