"""A real SLURM of one node on loopback, for tests: its own keys, sockets, configuration and logs in one folder.

Needs the programs of Debian's packages slurm-wlm and munge and the right to start them (root); touches nothing of the system's
own SLURM. Costs about a second to start.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "scancel", "sinfo")
_CONF = """\
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
KillWait=5
MinJobAge=3600
JobRequeue=1
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/completed.txt
AccountingStorageType=accounting_storage/none
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1
NodeName=localhost NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=8000 State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    """Why there can be no such SLURM here; empty if there can be one."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if missing:
        return f"SLURM is not installed ({', '.join(missing)}); on Debian: apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "only root may start SLURM's daemons"


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class OneNode:
    """From `start` to `stop`; its `environment` is for programs that are to talk to it."""

    def __init__(self, cpus: int = 4):
        self.folder, self.cpus = Path(tempfile.mkdtemp(prefix="slurm_")), cpus
        self.folder.chmod(0o711)  # the socket has to be within reach of all
        path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        self.environment = os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def start(self) -> None:
        """Raises RuntimeError or TimeoutError if a daemon does not come up."""
        folder = self.folder
        for name in ("state", "spool"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        (folder / "slurm.conf").write_text(_CONF.format(folder=folder, ports=_free_ports(2), user="root", cpus=self.cpus))
        self._run(
            "munged",
            f"--key-file={key}",
            f"--socket={folder}/munge.sock",
            f"--pid-file={folder}/munged.pid",
            f"--log-file={folder}/munged.log",
            f"--seed-file={folder}/munged.seed",
        )
        self._run("slurmctld", "-f", str(folder / "slurm.conf"))
        self._run("slurmd", "-f", str(folder / "slurm.conf"), "-N", "localhost")
        self._wait_for(lambda: "idle" in self.ask("sinfo", "-h", "-o", "%T"), 30, "the node to be idle")

    def stop(self) -> None:
        """End all jobs and daemons, and remove the folder."""
        subprocess.run(["scancel", "--user=root"], env=self.environment, capture_output=True)
        for name in ("slurmd", "slurmctld", "munged"):
            file = self.folder / f"{name}.pid"
            if file.is_file():
                process = Path("/proc", file.read_text().strip())
                subprocess.run(["kill", process.name], capture_output=True)
                until = time.monotonic() + 10
                while process.exists() and "Z" not in (process / "stat").read_text().split()[2] and time.monotonic() < until:
                    time.sleep(0.05)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, *words: str) -> str:
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def ask(self, *words: str) -> str:
        """The output of a SLURM command, empty if it fails."""
        return subprocess.run(words, env=self.environment, capture_output=True, text=True).stdout

    def submit(self, *words: str, folder: Path) -> int:
        """`sbatch` with these words in a folder; returns the job's number."""
        done = subprocess.run(["sbatch", "--parsable", *words], env=self.environment, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return int(done.stdout.split(";")[0])

    def field(self, job: int, name: str) -> str:
        """A field of `scontrol show job`: JobState, Restarts, ExitCode …"""
        words = dict(word.split("=", 1) for word in self.ask("scontrol", "-o", "show", "job", str(job)).split() if "=" in word)
        return words.get(name, "")

    def start_now(self, job: int) -> None:
        """Spare a job that was requeued the two minutes that SLURM lets it wait."""
        self.ask("scontrol", "update", f"JobId={job}", "StartTime=now")

    def wait(self, job: int, states: tuple[str, ...], seconds: float = 120) -> str:
        """Wait until a job is in one of the states; returns it."""
        self._wait_for(lambda: self.field(job, "JobState") in states, seconds, f"job {job} to be {' or '.join(states)}")
        return self.field(job, "JobState")

    def _wait_for(self, met, seconds: float, what: str) -> None:
        until = time.monotonic() + seconds
        while not met():
            if time.monotonic() > until:
                logs = "".join(f"\n{file.name}: {file.read_text()[-600:]}" for file in self.folder.glob("slurm*.log"))
                raise TimeoutError(f"waited {seconds:.0f} s for {what}; {logs}")
            time.sleep(0.2)
