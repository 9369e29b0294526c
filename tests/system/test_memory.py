"""Free memory: the machine's, or below the limit of a container or a job."""

import pytest

from system import memory


def write_group(folder, limit, used, **cached):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text("anon 5\n" + "".join(f"{name} {value}\n" for name, value in cached.items()))


@pytest.mark.parametrize(("free", "expected"), [(10_000, 700), (300, 300)])
def test_the_narrowest_limit_counts(tmp_path, monkeypatch, free, expected):
    """The job may take 1000 bytes and uses 900, of which 600 are caches of files; its step has no limit, the root 5000."""

    class Machine:
        available = free

    monkeypatch.setattr(memory.psutil, "virtual_memory", Machine)
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "_OWN_CGROUP", tmp_path / "own")
    assert memory.available() == free  # a machine without cgroups
    (tmp_path / "own").write_text("4:memory:/elsewhere\n0::/slurm/job_7/step_0\n")
    write_group(tmp_path / "cgroup", 5000, 1000)
    write_group(tmp_path / "cgroup/slurm/job_7", 1000, 900, inactive_file=500, active_file=100)
    write_group(tmp_path / "cgroup/slurm/job_7/step_0", "max", 900)
    assert memory.available() == expected
