"""Why pruning hurts some groups more: derivatives of the group losses, bounds, exact accounts."""
