"""The process, and the machine it lives on."""
