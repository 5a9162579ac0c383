"""A user's script without a mistake: mypy must accept it, and know the types."""

import numpy as np

import fastknn
from fastknn import Index, KNeighborsClassifier, ground_truth, knn, knn_graph, vote

rows = np.eye(9, dtype=np.float32)
index = Index(
    rows, metric="l1", screen="direct", expected_k=3, expected_queries=9, n_jobs=2, progress=True
)
distances, indices = index.search(rows, k=3)
reveal_type(index)
reveal_type(distances)
reveal_type(knn(rows.tolist(), rows, 2))
reveal_type(knn_graph(rows, 2)[1])
reveal_type(vote([[0, 1, 1]], n_classes=2))
reveal_type(KNeighborsClassifier(3).fit(rows, range(9)).predict(rows))
reveal_type(ground_truth(rows, rows, 2).indices)
reveal_type(fastknn.cpu_level())
index.append(rows).save("folder")
