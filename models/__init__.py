"""Parameters -> Rendering: what represents a scene."""
