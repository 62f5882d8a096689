"""The commands, by what they do. Each imports its libraries when it runs: `--help` loads neither boto3 nor rich."""
