"""The agent: watches a training's checkpoints on its own machine and commits them to S3."""

__version__ = "0.1.0"
