"""The assets, in the order of the graph: raw, features, models, predictions, experiments, monitoring."""
