"""Accuracy on raw pixels, beside the results that are known."""

import pytest

KS = (1, 3, 5, 7, 9, 10)
# Of this copy of CIFAR-10 by faiss, of MNIST as published; ties of votes to the smallest class.
KNOWN = {
    ("cifar10", "l2"): {1: 0.3530, 5: 0.3395, 7: 0.3359, 10: 0.3408},
    ("cifar10", "l1"): {},
    ("mnist", "l2"): {1: 0.9691, 3: 0.9705, 5: 0.9688, 7: 0.9694, 9: 0.9659},
    ("mnist", "l1"): {},
}


@pytest.mark.full
@pytest.mark.parametrize(("name", "metric"), KNOWN)
def test_accuracy(benchmark, request, name, metric):
    """On the whole test set, for several k in one search."""
    from fastknn import Index, vote

    data = request.getfixturevalue(name)
    index = Index(data.train, metric)
    found = {}

    def run() -> None:
        labels = data.train_labels[index.search(data.test, max(KS))[1]]
        right = vote(labels, ks=KS) == data.test_labels
        found.update(zip(KS, right.mean(axis=1).round(4).tolist(), strict=True))

    benchmark.pedantic(run, rounds=1, iterations=1)
    benchmark.extra_info.update(
        kind="accuracy", data=data.name, metric=metric, accuracy={str(k): found[k] for k in KS}
    )
    if data.real:
        for k, expected in KNOWN[name, metric].items():
            assert found[k] == pytest.approx(expected, abs=0.00011)
