"""Progress in a log file: lines, no carriage returns."""

from system import progress as module


def test_a_log_gets_lines(capsys, monkeypatch):
    monkeypatch.setattr(module, "_SECONDS", 0)
    with module.progress(range(3), desc="training", unit="step") as bar:
        for _ in bar:
            bar.set_postfix_str("30 dB", refresh=False)
    text = capsys.readouterr().err
    lines = text.splitlines()
    assert "\r" not in text and len(lines) == 4 and all(line.startswith("training: ") for line in lines)
    assert " 0/3 " in lines[0] and " 3/3 " in lines[-1] and "30 dB" in lines[-1]


def test_the_first_rank_alone_tells(capsys, monkeypatch):
    for number in ("0", "1"):
        monkeypatch.setenv("RANK", number)
        module.tell(f"of rank {number}")
        module.tell("")
    assert capsys.readouterr().err == "of rank 0\n"
