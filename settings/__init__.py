"""The options of a run: their types, the flags that fill them, and the errors that a user can fix."""
