"""EC2's service model, cut to what the agent calls: botocore's own takes 15 MiB once it is read, this one none to speak of."""
