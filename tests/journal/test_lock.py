"""The lock of a run directory, across runs and processes."""

import json
import os
import signal
import sys
from datetime import UTC, datetime

import pytest
from journal_kit import running

from distilabel.errors import JournalError, RunLockedError
from distilabel.journal.lock import LOCK_NAME, RunLock, read_holder

HOLD = """
import sys
from pathlib import Path
from distilabel.journal.lock import RunLock
sys.argv = ["/usr/bin/secret-tool", "--api-key", "sk-canary"]
lock = RunLock(Path(sys.stdin.readline().strip()))
lock.in_flight.start()
for _ in range(5):
    lock.in_flight.sent()
lock.in_flight.failed()
lock.in_flight.committed(1)
print("held", flush=True)
sys.stdin.readline()
"""


def start(process, directory) -> None:
    """Have the program take the lock, and wait until it has."""
    process.stdin.write(f"{directory}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "held\n"


def test_a_second_process_is_refused_and_told_who_holds(tmp_path):
    """The refusal names process, host and start of the holder."""
    before = datetime.now(UTC)
    with running(HOLD) as process:
        start(process, tmp_path)
        with pytest.raises(RunLockedError) as refusal:
            RunLock(tmp_path)
        error = refusal.value
        assert (error.holder_pid, error.holder_host) == (process.pid, os.uname().nodename)
        assert error.holder_since is not None
        assert before <= error.holder_since <= datetime.now(UTC)
        assert error.directory == tmp_path
        assert str(process.pid) in str(error)


def test_the_lock_file_holds_no_arguments(tmp_path):
    """A key on the holder's command line is not written down; the program's name is."""
    with running(HOLD) as process:
        start(process, tmp_path)
        text = (tmp_path / LOCK_NAME).read_bytes()
        assert b"sk-canary" not in text
        holder = read_holder(tmp_path)
        assert holder is not None
        assert holder.program == "secret-tool"


def test_a_killed_process_leaves_a_free_lock_and_its_count(tmp_path):
    """Twenty times: after SIGKILL the lock is free, and says how many calls were in flight."""
    for _ in range(20):
        with running(HOLD) as process:
            start(process, tmp_path)
            process.send_signal(signal.SIGKILL)
            process.wait()
            with RunLock(tmp_path) as lock:
                assert lock.in_flight.left_behind == 3


def test_a_second_run_of_the_same_process_is_refused(tmp_path):
    """The lock is the run's, not the process's."""
    with RunLock(tmp_path):
        with pytest.raises(RunLockedError) as refusal:
            RunLock(tmp_path)
        assert refusal.value.holder_pid == os.getpid()
    RunLock(tmp_path).release()


def test_releasing_twice_does_nothing(tmp_path):
    """The second release does not close a descriptor that is another's by now."""
    lock = RunLock(tmp_path)
    lock.release()
    with RunLock(tmp_path):
        lock.release()
        with pytest.raises(RunLockedError):
            RunLock(tmp_path)


FORK = """
import os, sys
from pathlib import Path
from distilabel.journal.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
if os.fork() == 0:
    print("forked", flush=True)
    sys.stdin.readline()  # outlives its parent
    os._exit(0)
{then}
"""


@pytest.mark.parametrize("then", ["os.wait()", "lock.release(); os.wait()"])
def test_a_forked_child_does_not_hold_on(tmp_path, then):
    """A child that outlives its parent's run, killed or not, does not keep it locked."""
    with running(FORK.format(then=then), tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "forked\n"
        if "release" not in then:
            with pytest.raises(RunLockedError):
                RunLock(tmp_path)
            process.kill()
            process.wait()
        for _ in range(1_000_000):  # the parent may not have come to its release yet
            try:
                RunLock(tmp_path).release()
            except RunLockedError:
                continue
            break
        RunLock(tmp_path).release()


def test_a_program_that_was_started_does_not_hold_on(tmp_path):
    """The descriptor is not handed on to programs."""
    lock = RunLock(tmp_path)
    with running("import sys; print('up', flush=True); sys.stdin.readline()") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        lock.release()
        RunLock(tmp_path).release()


def test_a_lock_won_on_a_deleted_file_counts_for_nothing(tmp_path, monkeypatch):
    """Whoever wins the lock of a file that was deleted meanwhile locks the file there is now."""
    import distilabel.journal.lock as module

    flock, path = module._flock, tmp_path / LOCK_NAME

    def flock_after_deletion(fd, directory) -> None:
        monkeypatch.setattr(module, "_flock", flock)
        path.unlink()
        flock(fd, directory)

    monkeypatch.setattr(module, "_flock", flock_after_deletion)
    with RunLock(tmp_path), pytest.raises(RunLockedError):
        RunLock(tmp_path)


@pytest.mark.parametrize("make", ["symlink", "hardlink", "directory", "fifo"])
def test_what_is_no_plain_file_is_refused_and_not_written(tmp_path, make):
    """Nothing is written through a link that somebody put in the lock's place."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path = tmp_path / "run" / LOCK_NAME
    path.parent.mkdir()
    {
        "symlink": lambda: path.symlink_to(victim),
        "hardlink": lambda: path.hardlink_to(victim),
        "directory": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
    }[make]()
    with pytest.raises(JournalError) as refusal:
        RunLock(path.parent)
    assert refusal.value.path == path
    assert victim.read_text() == "precious"


def test_a_missing_lock_is_not_made_unless_asked(tmp_path):
    """Whoever only looks into a directory leaves nothing in it."""
    with pytest.raises(JournalError, match="cannot be opened"):
        RunLock(tmp_path, create=False)
    assert not list(tmp_path.iterdir())


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    """Where flock does not work the error says what to do."""

    def refuse(fd: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(JournalError, match=r"cannot lock files .* local disk"):
        RunLock(tmp_path)


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    """A lock that cannot be written is an error of ours, and is let go of."""
    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(JournalError, match="No space left"):
            RunLock(tmp_path)
    RunLock(tmp_path).release()


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 4096, b"{}", b"\0" * 64 + json.dumps({"pid": "1"}).encode()]
)
def test_a_lock_file_may_hold_anything(tmp_path, content):
    """A file that says nothing sensible about its holder locks all the same."""
    (tmp_path / LOCK_NAME).write_bytes(content)
    assert read_holder(tmp_path) is None
    with RunLock(tmp_path) as lock:
        assert lock.in_flight.left_behind >= 0
        assert read_holder(tmp_path) is not None
        with (tmp_path / LOCK_NAME).open("r+b") as file:
            file.seek(64)
            file.write(b"not JSON")
        with pytest.raises(RunLockedError, match="a live process") as refusal:
            RunLock(tmp_path)
        assert refusal.value.holder_pid is None


def test_no_lock_file_names_nobody(tmp_path):
    """Where nobody ever ran there is no holder."""
    assert read_holder(tmp_path) is None


def test_the_count_is_of_this_run_and_stays_after_closing(tmp_path):
    """Sent less failed less committed; readable once the file is closed."""
    with RunLock(tmp_path) as lock:
        count = lock.in_flight
        count.start()
        for _ in range(3):
            count.sent()
        count.failed()
        count.committed(1)
        assert len(count) == 1
    assert len(count) == 1
    count.sent()
    assert len(count) == 2
    with RunLock(tmp_path) as lock:
        assert lock.in_flight.left_behind == 1
    with RunLock(tmp_path) as lock:
        assert lock.in_flight.left_behind == 1, "looking does not set it back"
        lock.in_flight.start()
        assert len(lock.in_flight) == 0


def test_argv_may_be_empty(tmp_path, monkeypatch):
    """Embedded interpreters have no program's name."""
    monkeypatch.setattr(sys, "argv", [])
    with RunLock(tmp_path):
        holder = read_holder(tmp_path)
    assert holder is not None
    assert not holder.program
