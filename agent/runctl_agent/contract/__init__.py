"""The contract between agent and controller: names and formats, each with encode and decode. Standard library only."""
