"""What the trainer wrote, made safe to read."""
