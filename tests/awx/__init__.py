"""Where AWX runs us: jobs under ansible-runner, surveys, the set-up of its objects, the execution environment."""
