"""What several studies share: tasks, training, scores, the harness, tables."""
