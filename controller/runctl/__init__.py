"""The controller: launches instances and reads what their agents post. It keeps no state of its own."""

from runctl_agent import __version__ as __version__
