"""The notebook calls what is there, and was run to its end."""

import json
import re
from pathlib import Path

from benchmarks import rvs_1d

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "1d_experiments.ipynb"


def test_the_notebook_calls_what_is_there_and_shows_what_it_gave():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    sources = ["".join(cell["source"]) for cell in code]
    for source in sources:
        compile(source, "cell", "exec")
    names = {name for source in sources for name in re.findall(r"rvs_1d\.(\w+)", source)}
    assert len(names) >= 6 and all(hasattr(rvs_1d, name) for name in names), names
    shown = [mime for cell in code for output in cell["outputs"] for mime in output.get("data", {})]
    assert shown.count("image/png") == 3
    assert not [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
