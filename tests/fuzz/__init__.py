"""Every reader of bytes that others write, given bytes that nobody would write."""
