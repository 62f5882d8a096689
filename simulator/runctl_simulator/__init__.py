"""A small EC2 for tests and the demo: its APIs with their own rules, its metadata service, and local machines as instances."""
