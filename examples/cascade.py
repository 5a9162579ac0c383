"""
What the screens leave to do
============================

Lower bounds on bytes rule rows out in stages; only the candidates that are left are compared
exactly.
"""

from common import images, save
from matplotlib import pyplot

from fastknn import Index, plot

# %%
# Both metrics have screens of their own. `Index.reason` says what the chosen one took on a sample.
data = images()
figure, axes = pyplot.subplots(1, 2, figsize=(10, 2.4), layout="constrained")
for ax, metric in zip(axes, ("l2", "l1"), strict=True):
    index = Index(data.train, metric)
    index.search(data.test, k=7)
    plot.candidates(index, ax=ax)
    ax.set_title(f"{metric.upper()}: {index.cascade}", fontsize=9)
    print(f"{metric}: {index.reason}")
save(figure, "cascade.png")
