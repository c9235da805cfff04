"""Convert users' data into batches of inputs, labels, groups and weights."""
