"""From neighbors to answers: majority votes, and the k smallest entries of a distance matrix.

`votes.py` has `vote`, `vote_proba` and `distance_weights`; `selection.py` has `topk`. How votes
are counted where Numba pays is in `compiled.py`; what both check of their arguments is in
`arguments.py`.
"""

from fastknn.voting.selection import topk
from fastknn.voting.votes import distance_weights, vote, vote_proba

__all__ = ["distance_weights", "topk", "vote", "vote_proba"]
