"""Screens: lower bounds on distances that rule out most rows before any exact distance.

`direct.py` compares the rows themselves, `cascade.py` their codes in one or more stages. A stage is
a non-expansive map (`maps.py`) followed by rounding to bytes with a measured error
(`quantization.py`). `grouping.py` leaves out whole groups of rows before either of them looks at
any. `proposals.py` proposes cascades for some rows, and `inputs.py` says
what of the rows screens compare.
"""
