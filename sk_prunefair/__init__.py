"""Prune PyTorch classifiers the scikit-learn way, and know what it did to every group."""
