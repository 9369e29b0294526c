"""How many threads a process may use."""

import os

import pytest

from taichi_kernels import runtime


@pytest.mark.parametrize(("slurm", "beside", "threads"), [("6", "", 6), ("6", "2", 3), ("1", "4", 1), ("6", "none", 6)])
def test_threads_come_from_the_allocation_and_are_shared_by_its_ranks(monkeypatch, slurm, beside, threads):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", slurm)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", beside)
    assert runtime.available_threads() == threads


def test_without_one_they_are_those_that_the_process_may_run_on(monkeypatch):
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert runtime.available_threads() == len(os.sched_getaffinity(0))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "10000")
    assert runtime.available_threads() == 1
