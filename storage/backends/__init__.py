"""Who answers what the program cannot know by itself; see `storage.backends.protocols`."""
