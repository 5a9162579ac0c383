"""Where the rows go: how many a query has left after each stage of the screens that were chosen."""

from common import images, save
from matplotlib import pyplot

from fastknn import Index, plot

data = images()
figure, axes = pyplot.subplots(1, 2, figsize=(10, 2.4), layout="constrained")
for ax, metric in zip(axes, ("l2", "l1"), strict=True):
    index = Index(data.train, metric)
    index.search(data.test, k=7)
    plot.candidates(index, ax=ax)
    ax.set_title(f"{metric.upper()}: {index.cascade}", fontsize=9)
    print(f"{metric}: {index.reason}")
save(figure, "cascade.png")
