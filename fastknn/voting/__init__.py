"""From neighbors to answers: majority votes, and the k smallest entries of a distance matrix.

`votes.py` has `vote`, `vote_proba` and `distance_weights`; `selection.py` has `topk`. The votes of
one call are checked and counted in `ballots.py`: by NumPy (`counting.py`) or, once it pays to load
Numba, by its kernel (`compiled.py`). `arguments.py` and `chunks.py` serve both votes and `topk`.
"""

from fastknn.voting.selection import topk
from fastknn.voting.votes import distance_weights, vote, vote_proba

__all__ = ["distance_weights", "topk", "vote", "vote_proba"]
