"""When an index gets its next screen: once the queries that came pay for it."""

from fastknn._utils.locks import Lock
from fastknn.search.policy import INDEX, LIMITS, Known, Rule, choose

__all__ = ["Growth"]

# What an index has, one after another: see `policy.INDEX`.
STAGES = ("none", "direct", "promising", "grouped", "auto")
# Growth of the number of queries after which the policy is asked again: asking takes longer than
# the search of one query among few rows.
ASK_AGAIN = 1.1


class Growth:
    """The stage that an index has reached, and the queries on which the next one depends.

    The policy decides with the number of queries that are expected, or came so far if they are
    more. A screen is built when what it would have saved exceeds its own cost, so no sequence of
    searches takes much more than twice what was best for it. Searches from many threads are safe:
    one of them builds the next screen, and the others go on with the one that is there.

    Parameters
    ----------
    known : Known
        The rows, and how many queries are expected.
    """

    def __init__(self, known: Known) -> None:
        self.rule: Rule = choose(INDEX, known)
        self.n_expected, self.n_queries = known.n_queries, 0
        # The policy has nothing for fewer queries than pay for packing the rows.
        self._asked_at = max(known.n_queries, (LIMITS.packed_queries - 1) / ASK_AGAIN)
        self._is_building, self._lock = False, Lock()
        # Queries that were searched in the direct screen, and what they took on all threads.
        self._n_direct, self._direct_seconds = 0, 0.0

    @property
    def stage(self) -> str:
        """What the index has now."""
        return self.rule.choice

    def count(self, n_queries: int) -> bool:
        """Count queries that came, and say whether it is time to ask for the next screen.

        Parameters
        ----------
        n_queries : int

        Returns
        -------
        bool
        """
        with self._lock:
            self.n_queries += n_queries
            return (
                not self._is_building
                and self.stage != STAGES[-1]
                and self.n_queries > ASK_AGAIN * self._asked_at
            )

    def took(self, n_queries: int, seconds: float) -> None:
        """Note what a search took, on all its threads together.

        How long the direct screen takes depends on the data: where differences are small beside
        the values, several times as long as the policy would guess.

        Parameters
        ----------
        n_queries : int
        seconds : float
        """
        if self.stage in ("direct", "promising"):  # with groups, no other stage comes
            with self._lock:
                self._n_direct += n_queries
                self._direct_seconds += seconds

    def begin(self, known: Known) -> Rule | None:
        """Say which screen comes next, if it pays and nobody builds one: the caller builds it.

        Parameters
        ----------
        known : Known
            The rows.

        Returns
        -------
        Rule or None
            After a rule, `end` must be called.
        """
        with self._lock:
            if self._is_building:
                return None
            self._asked_at = max(self.n_expected, self.n_queries)
            seconds = self._direct_seconds / self._n_direct if self._n_direct else None
            known = known._replace(n_queries=self._asked_at, direct_seconds=seconds)
            rule = choose(INDEX, known)
            if STAGES.index(rule.choice) <= STAGES.index(self.stage):
                return None
            self._is_building = True
            return rule

    def end(self, rule: Rule | None) -> None:
        """Note that the index has the next screen.

        Parameters
        ----------
        rule : Rule or None
            None if it could not be built: the next search tries again.
        """
        with self._lock:
            self._is_building = False
            if rule is None:
                self._asked_at = 0
            else:
                self.rule = rule
