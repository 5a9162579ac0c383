"""Searches: an index, the policy that chooses how it searches, and one-call searches.

A query goes from `index.py` (blocks of queries, `plan.py`) to `searcher.py` (one screen over packed
rows) and on to the engine. `trial.py` chooses a screen by measurement, `storage.py` saves an index,
`calls.py` has `knn` and `knn_graph`, `pairwise.py` has distance matrices.
"""
