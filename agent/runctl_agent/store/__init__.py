"""From the disk to S3 and back."""
