"""Uses of the exact answer: what embeddings are worth, and what approximate indexes missed.

`probing.py` has `probe`, `truth.py` has `ground_truth` and `GroundTruth`; `vectors.py` reads and
writes files of vectors.
"""

from fastknn.evaluation.probing import probe
from fastknn.evaluation.truth import GroundTruth, ground_truth
from fastknn.evaluation.vectors import open_vectors, write_ivecs

__all__ = ["GroundTruth", "ground_truth", "open_vectors", "probe", "write_ivecs"]
