"""When a training has settled."""

from training.callbacks import settled


def test_a_stage_settles_when_a_window_of_epochs_gains_nothing():
    assert not settled([20, 20, 20], 2)  # too early to tell
    assert settled([10, 20, 20, 20.01, 20.02], 2)
    assert not settled([20, 20, 20.1, 20.1], 2)
    assert not settled([20, 20, 20, 20], 0)
