"""From what users hold to whole batches of inputs, labels, groups and weights."""
