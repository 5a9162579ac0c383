"""Metrics: their names, the exact keys by which neighbors are ordered, and angles.

`names.py` has every spelling of a metric, `keys.py` the order of neighbors and how results are
merged, `angles.py` what cosine and correlation need.
"""
