"""A small EC2 for tests and the demo: IMDS and, later, instances."""
