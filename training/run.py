"""A training run and where it stands, whatever the method."""

from dataclasses import dataclass, field


@dataclass
class Run:
    """What every method's run keeps."""

    history: list[dict] = field(default_factory=list)  # one dict an epoch, see `reporting.run_record.RunRecord`
    seconds: dict[str, float] = field(default_factory=lambda: {"training": 0.0, "hull": 0.0, "compile": 0.0, "evaluation": 0.0})
    finished: bool = False
    interrupted: bool = False
    options: dict | None = None  # of the run that was loaded

    def stages_in_words(self) -> str:
        """The epochs of each stage as they were run, in one line; empty where nothing was trained."""
        lengths: dict[str, int] = {}
        for epoch in self.history:
            lengths[epoch["stage"]] = lengths.get(epoch["stage"], 0) + 1
        return ", ".join(f"{name} {length}" for name, length in lengths.items()) + (" epochs" if lengths else "")
