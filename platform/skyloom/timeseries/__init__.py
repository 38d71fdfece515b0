"""Light curves as flat arrays: no Python object per row."""
