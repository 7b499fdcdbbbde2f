"""Where facts come from: worker files of probes, messages of PHP, and the agent's own cost."""
