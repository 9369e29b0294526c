"""log.txt says every epoch once."""

from training import log


def test_lines_that_the_checkpoint_does_not_know_are_written_again(tmp_path):
    lines = ["epoch 1 (a): 1.0 s", "epoch 2 (a): 2.0 s", "epoch 2 (a): 2.1 s", "epoch 3 (b): 3.0 s", "epo"]
    (tmp_path / "log.txt").write_text("\n".join(lines))
    log.begin(tmp_path, [{"epoch": 1, "step": 20}, {"epoch": 2, "step": 40}], "epoch")
    log.add(tmp_path, "epoch 3 (b): 3.1 s")
    assert (tmp_path / "log.txt").read_text().splitlines() == [lines[0], lines[2], "epoch 3 (b): 3.1 s"]
    log.begin(tmp_path, [], "epoch")
    assert not (tmp_path / "log.txt").exists()


def test_fields_count_steps(tmp_path):
    (tmp_path / "log.txt").write_text("step 250: a\nstep 500: b\nstep 750: c\n")
    log.begin(tmp_path, [{"epoch": 1, "step": 250}, {"epoch": 2, "step": 500}], "step")
    assert (tmp_path / "log.txt").read_text() == "step 250: a\nstep 500: b\n"
