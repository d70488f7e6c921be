"""How far a replica is behind its primary, told by the primary's log and one clock: that of whoever looks.

A replica knows when what it has replayed was committed, and not whether there is more: of an idle primary it would seem
to be far behind, and cut off from it up to date. So the primary is asked now and then how far it has written, and the
replica how far it has replayed: it has all that the primary had at the last look whose position it has reached.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import Final

LOOKS: Final = 6
"""How often is looked in the time that a replica may be behind: by so much of it a lag may be overstated."""

POSITION: Final = """
    SELECT ((CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)
            - '0/0'::pg_lsn)::bigint
"""
"""How far a server is in the log, bytes: written as a primary, or replayed as a replica that others follow."""


class Written:
    """How far a primary was in its log, and when.

    Args:
        looks: Looks that are remembered: a replica that is further behind is behind all of them.
    """

    def __init__(self, looks: int = 60 * LOOKS) -> None:
        self._at: deque[float] = deque(maxlen=looks)
        self._positions: deque[int] = deque(maxlen=looks)

    def note(self, at: float, position: int) -> None:
        """Notes how far it was.

        Args:
            at: When it was asked, s of any clock.
            position: What it said, bytes.
        """
        if self._positions and position < self._positions[-1]:
            # Another server is the primary, which had not got all of the log: what was noted is of no use.
            self._at.clear()
            self._positions.clear()
        self._at.append(at)
        self._positions.append(position)

    def reached(self, position: int) -> float | None:
        """Until when whoever is there in the log has all that was written, s; None if that is before all looks."""
        seen = bisect_right(self._positions, position)
        return self._at[seen - 1] if seen else None

    def all(self, position: int) -> bool:
        """Whether nothing is known to be written beyond a position."""
        return not self._positions or position >= self._positions[-1]
