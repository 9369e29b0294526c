"""Parameters -> Rendering: the representations of a scene."""
