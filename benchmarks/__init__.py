"""What is behind every figure: studies, timings, and what they share."""
