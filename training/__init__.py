"""The training loop, its checkpoints and callbacks. It knows no method: a method hands it a Task."""
