"""A user's script with one mistake per line: mypy must find each."""

import numpy as np

import fastknn
from fastknn import Index, knn, knn_graph

rows = np.eye(9, dtype=np.float32)
Index(rows, metrik="l1")  # mistake
Index(rows, "l1", "direct")  # mistake
Index(rows, k=3)  # mistake
Index(rows, screen=3)  # mistake
Index(rows).search(rows, k="5")  # mistake
Index(rows).search(rows)  # mistake
Index(rows).find(rows, 5)  # mistake
knn(rows, rows, k=1.5)  # mistake
knn(rows, rows)  # mistake
knn_graph(rows, 2).indices  # mistake
fastknn.Indexx(rows)  # mistake
text: str = fastknn.knn(rows, rows, 1)  # mistake
number: int = fastknn.cpu_level()  # mistake
