"""The training's life as the agent conducts it: prepared, started, ended when somebody asks for it."""
