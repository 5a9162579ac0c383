"""scikit-learn's estimators on fastknn's search, and the choice of k by cross-validation."""
