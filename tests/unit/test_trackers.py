"""What knows resources: links, graphics processors, classes of the user's, and all of them as one."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from weft.assemble.capacity import Measuring, Resources, from_class, look_around
from weft.assemble.classes import ClassNotFoundError
from weft.assemble.run_settings import RunSettings
from weft.errors import PlanError
from weft.ports import Tracker
from weft.runtime.devices import Devices, device_names
from weft.runtime.sampling import Sampling
from weft.scheduling.events import Event, HeadroomChanged
from weft.settings import TrackerClass, read
from weft.spec.resources import to_units
from weft.testing.fake_executor import FakeExecutor
from weft.trackers.custom import Source, TrackerError
from weft.trackers.gpu import GpuTracker
from weft.trackers.network import Links
from weft.trackers.own import OwnUse
from weft.trackers.roster import Roster

MEGABYTE = 1_000_000


# --- links -------------------------------------------------------------------------------------------------------------


def link(
    root: Path, name: str, speed: str = "1000", state: str = "up", *, is_real: bool = False, moved: int = 0
) -> None:
    folder = root / name
    (folder / "statistics").mkdir(parents=True, exist_ok=True)
    (folder / "speed").write_text(f"{speed}\n")
    (folder / "operstate").write_text(f"{state}\n")
    (folder / "statistics/rx_bytes").write_text(f"{moved}\n")
    (folder / "statistics/tx_bytes").write_text("0\n")
    if is_real:
        (folder / "device").mkdir(exist_ok=True)


def test_links_that_are_up_add_their_speeds(tmp_path: Path) -> None:
    link(tmp_path, "eth0")
    link(tmp_path, "eth1", "100")
    link(tmp_path, "eth2", "100000", "down")
    link(tmp_path, "lo", "100000")
    assert Links(str(tmp_path)).speed() == 1100 * MEGABYTE // 8


def test_bridges_over_real_links_do_not_count_again(tmp_path: Path) -> None:
    link(tmp_path, "eth0", is_real=True)
    link(tmp_path, "br0", "10000")
    assert Links(str(tmp_path)).speed() == 125 * MEGABYTE


@pytest.mark.parametrize("speed", ["-1", "", "0", "fast"])
def test_a_link_without_a_speed_is_known_to_nobody(tmp_path: Path, speed: str) -> None:
    link(tmp_path, "wlan0", speed)
    assert Links(str(tmp_path)).speed() is None
    assert Links(str(tmp_path)).idle(0.5) is None
    assert Links(str(tmp_path / "nowhere")).speed() is None


def test_what_a_link_carries_is_taken_off_what_is_idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([10.0, 12.0, 12.1])
    monkeypatch.setattr("weft.trackers.network.time.monotonic", lambda: next(now))
    link(tmp_path, "eth0")
    links = Links(str(tmp_path))
    assert links.idle(0.5) == 125 * MEGABYTE
    link(tmp_path, "eth0", moved=50 * MEGABYTE)
    assert links.idle(0.5) == 100 * MEGABYTE
    link(tmp_path, "eth0", moved=90 * MEGABYTE)
    assert links.idle(0.5) == 100 * MEGABYTE  # too soon to say anything new


# --- graphics processors ----------------------------------------------------------------------------------------------


class NVMLError(Exception):
    pass


def library(devices: Mapping[int, list[object]], *, works: bool = True) -> Any:
    def begin() -> None:
        if not works:
            raise NVMLError("no driver")

    return SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=begin,
        nvmlDeviceGetCount=lambda: len(devices),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetComputeRunningProcesses=lambda index: devices[index],
    )


def test_devices_are_counted_and_those_that_compute_are_not_free() -> None:
    tracker = GpuTracker(lambda: library({0: [], 1: ["process"], 2: []}))
    assert tracker.capacity() == {"gpu": to_units("gpu", 3)}
    assert tracker.available() == {"gpu": to_units("gpu", 2)}


@pytest.mark.parametrize(
    ("visible", "count"), [("0,2", 2), ("1", 1), ("", 0), ("-1", 0), ("0,-1,1", 1), ("9", 0), ("GPU-aa,GPU-bb", 2)]
)
def test_only_devices_that_programs_may_see_count(visible: str, count: int) -> None:
    tracker = GpuTracker(lambda: library({0: [], 1: [], 2: []}), visible)
    assert tracker.capacity().get("gpu", 0) == to_units("gpu", count)


def test_without_library_driver_or_device_nobody_knows_of_any() -> None:
    def missing() -> Any:
        raise ImportError("pynvml")

    for load in (missing, lambda: library({0: []}, works=False), lambda: library({})):
        tracker = GpuTracker(load)
        assert (tracker.capacity(), tracker.available()) == ({}, {})


def test_attempts_get_devices_of_their_own_and_give_them_back() -> None:
    devices = Devices(device_names(to_units("gpu", 3), None))
    assert devices.take(1, to_units("gpu", 1)) == "0"
    assert devices.take(2, to_units("gpu", 2)) == "1,2"
    assert devices.take(2, to_units("gpu", 2)) == "1,2"  # asked again for the same attempt
    devices.give(1)
    assert devices.take(3, to_units("gpu", 1)) == "0"
    devices.give(2)
    devices.give(2)
    assert devices.take(4, to_units("gpu", 2)) == "1,2"
    assert devices.take(5, 0) is None


def test_parts_share_a_device_as_long_as_they_fit() -> None:
    devices = Devices(["a", "b"])
    half = to_units("gpu", 0.5)
    assert [devices.take(nonce, half) for nonce in range(4)] == ["a", "a", "b", "b"]
    devices.give(0)
    devices.give(2)
    assert devices.take(9, to_units("gpu", 1)) == "a"  # no whole one is left, though there is enough in all


def test_devices_have_the_names_that_the_environment_gives_them() -> None:
    units = to_units("gpu", 2)
    assert device_names(units, None) == ["0", "1"]
    assert device_names(units, "5,7,9") == ["5", "7"]
    assert device_names(units, "5,-1,9") == ["5"]
    assert device_names(units, "") == []
    assert device_names(to_units("gpu", 0.5), None) == ["0"]


def test_an_attempt_that_lives_keeps_the_devices_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "17").mkdir()
    (tmp_path / "17/environ").write_bytes(b"A=1\0WEFT_TOKEN=outer run.01\0CUDA_VISIBLE_DEVICES=1\0")
    (tmp_path / "self").mkdir()
    devices = Devices(["0", "1"])
    devices.adopt(1, to_units("gpu", 1), "run.01", str(tmp_path))
    assert devices.take(2, to_units("gpu", 1)) == "0"
    devices.give(2)
    devices.adopt(3, to_units("gpu", 1), "run.99", str(tmp_path))  # nobody can be asked
    devices.give(1)
    assert devices.take(4, to_units("gpu", 1)) == "1"


# --- classes of the user's ---------------------------------------------------------------------------------------------

MODULE = """
class Good:
    def capacity(self): return {"license": 2, "memory": "8G", "cores": 1.5}
    def available(self): return {"license": 1, "memory": 2**30, "disk": 0, "shared_memory": "0"}
class Bad:
    def capacity(self): return {"license": -1}
    def available(self): return []
class Deaf: pass
class Angry:
    def __init__(self): raise OSError("no server")
"""


def tracker_of(folder: Path, reference: str) -> Tracker:
    (folder / "mine.py").write_text(MODULE)
    return from_class("mine", reference, str(folder)).make()


@pytest.mark.parametrize("reference", ["mine.py:Good", "weft_tracker_of_a_test:Good"])
def test_amounts_of_the_users_are_taken_as_people_write_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reference: str
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "weft_tracker_of_a_test.py").write_text(MODULE)
    tracker = tracker_of(tmp_path, reference)
    assert tracker.capacity() == {"license": 2_000_000, "memory": 8 << 30, "cores": 1500}
    assert tracker.available() == {"license": 1_000_000, "memory": 1 << 30, "disk": 0, "shared_memory": 0}


def test_a_tracker_may_import_its_neighbours_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "weft_neighbour_of_a_test.py").write_text("AMOUNT = 3\n")
    (tmp_path / "weft_late_tracker_of_a_test.py").write_text("""
class Late:
    def capacity(self):
        from weft_neighbour_of_a_test import AMOUNT
        return {"license": AMOUNT}
    available = capacity
""")
    tracker = from_class("late", "weft_late_tracker_of_a_test:Late", str(tmp_path)).make()
    assert tracker.capacity() == {"license": 3_000_000}


@pytest.mark.parametrize("reference", ["mine.py:None_such", "none_such.py:Good", "mine.py:Deaf", "mine.py:__name__"])
def test_what_is_no_tracker_says_so(tmp_path: Path, reference: str) -> None:
    with pytest.raises((TrackerError, ClassNotFoundError)):
        tracker_of(tmp_path, reference)


def test_what_is_no_amount_says_so(tmp_path: Path) -> None:
    tracker = tracker_of(tmp_path, "mine.py:Bad")
    with pytest.raises(TrackerError, match="license = -1"):
        tracker.capacity()
    with pytest.raises(TrackerError, match="no mapping"):
        tracker.available()


# --- all of them as one ------------------------------------------------------------------------------------------------


class Known:
    """A tracker that knows what it is given; free: what is free of it, None: all."""

    def __init__(self, amounts: dict[str, int], free: dict[str, int] | None = None):
        self.amounts, self.free = amounts, amounts if free is None else free

    def capacity(self) -> Mapping[str, int]:
        return self.amounts

    def available(self) -> Mapping[str, int]:
        return self.free


def source(name: str, tracker: Any) -> Source:
    return Source(name, lambda: tracker)


def test_the_later_one_is_believed() -> None:
    roster = Roster({"host": Known({"cores": 8, "memory": 5})}, [source("mine", Known({"cores": 2}, {"cores": 1}))])
    assert roster.capacity() == {"cores": 2, "memory": 5}
    assert roster.origins == {"cores": "mine", "memory": "host"}
    assert roster.available() == {"cores": 1, "memory": 5}


def test_what_the_one_that_counts_does_not_measure_is_not_measured_by_another() -> None:
    roster = Roster({"host": Known({"cores": 8})}, [source("mine", Known({"cores": 2}, {}))])
    roster.capacity()
    assert roster.available() == {}


class Failing:
    def __init__(self, error: BaseException):
        self.error = error
        self.asked = 0

    def capacity(self) -> Mapping[str, int]:
        self.asked += 1
        raise self.error

    available = capacity


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(3), KeyboardInterrupt()])
def test_one_that_raises_is_told_of_once_and_never_asked_again(error: BaseException) -> None:
    bad = Failing(error)
    roster = Roster({"host": Known({"cores": 8})}, [source("bad", bad)])
    assert [roster.capacity(), roster.capacity(), roster.available()] == [{"cores": 8}] * 3
    assert bad.asked == 1
    (told,) = roster.remarks
    assert told.startswith(f"bad is left out: {type(error).__name__}")


def test_one_that_hangs_is_left_out_in_time() -> None:
    release = threading.Event()

    class Hanging(Known):
        def capacity(self) -> Mapping[str, int]:
            release.wait(60)
            return self.amounts

    roster = Roster({}, [source("slow", Hanging({"license": 1}))], seconds=0.05)
    try:
        assert roster.capacity() == {}
        assert roster.remarks == ["slow is left out: it did not answer within 0.05 s"]
    finally:
        release.set()


def test_one_that_cannot_be_made_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    roster = Roster({}, [from_class("mine", "mine.py:Angry", str(tmp_path))])
    assert roster.remarks == ["tracker 'mine' (mine.py:Angry) is left out: OSError: no server"]


def test_what_one_prints_goes_to_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "loud.py").write_text(
        "print('loaded')\n"
        "class Loud:\n"
        "    def capacity(self): print('asked'); return {'license': 3}\n"
        "    available = capacity\n"
    )
    trackers = {"loud": TrackerClass("loud.py:Loud", str(tmp_path))}
    assert Resources(RunSettings(trackers=trackers), str(tmp_path), ["license"]).amounts["license"] == 3_000_000
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("loaded\nasked\n")


# --- what is there for a run -------------------------------------------------------------------------------------------


def settings_with(folder: Path, **more: Any) -> RunSettings:
    (folder / "mine.py").write_text(
        "class Fixed:\n"
        "    def capacity(self): return {'cores': 8, 'memory': '16G', 'license': 3}\n"
        "    def available(self): return {'cores': 5, 'memory': '9G', 'license': 1}\n"
    )
    return RunSettings(trackers={"fixed": TrackerClass("mine.py:Fixed", str(folder))}, **more)


def test_the_reserve_is_taken_off_what_the_host_has(tmp_path: Path) -> None:
    reserve = {"cores": 1000, "memory": 2 << 30}
    found = Resources(settings_with(tmp_path, reserve=reserve), str(tmp_path), ()).amounts
    assert (found["cores"], found["memory"], found["license"]) == (7000, 14 << 30, 3_000_000)


@pytest.mark.parametrize(("jobs", "cores"), [(4, 4000), (8, 7000), (64, 7000)])
def test_a_budget_below_what_the_reserve_leaves_stays_what_it_is(tmp_path: Path, jobs: int, cores: int) -> None:
    settings = settings_with(tmp_path, reserve={"cores": 1000}, jobs=jobs)
    assert Resources(settings, str(tmp_path), ()).amounts["cores"] == cores


def test_every_mistake_of_a_reserve_is_told_with_units(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, reserve={"cores": 8000, "memory": 20 << 30, "licence": 1})
    with pytest.raises(PlanError) as caught:
        Resources(settings, str(tmp_path), ())
    texts = [problem.message for problem in caught.value.problems()]
    assert texts == [
        "--reserve cores=8 leaves nothing: there is 8",
        "--reserve names 'licence', which nobody here knows",
        "--reserve memory=20G leaves nothing: there is 16G",
    ]
    assert "license" in (caught.value.problems()[1].hint or "")


def test_flags_say_more_than_trackers(tmp_path: Path) -> None:
    resources = Resources(settings_with(tmp_path, resources={"license": 9}), str(tmp_path), ())
    assert resources.amounts["license"] == 9
    assert resources.origins["license"] == "setting resources"
    assert resources.origins["cores"] == "tracker 'fixed' (mine.py:Fixed)"
    assert resources.origins["disk"] == "host"


def test_where_nothing_runs_nothing_is_measured(tmp_path: Path) -> None:
    capacity, remarks = look_around(settings_with(tmp_path, executor="noop", reserve={"x": 1}), str(tmp_path), {"x"})
    assert (capacity.amounts, remarks) == ({}, [])


def test_the_reserve_stays_free_and_the_use_of_attempts_is_told_apart(tmp_path: Path) -> None:
    resources = Resources(settings_with(tmp_path, reserve={"cores": 1000}), str(tmp_path), ())
    executor = FakeExecutor()
    sample = resources.measuring([executor])()
    executor.close()
    assert (sample.free["cores"], sample.free["license"]) == (4000, 1_000_000)
    assert sample.own == {"cores": 0, "memory": 0}  # nothing runs yet


def test_a_tracker_that_fails_while_it_measures_is_told_of_once() -> None:
    tracker = Known({"license": 1})
    roster = Roster({}, [source("mine", tracker)])
    roster.capacity()
    tracker.available = None  # type: ignore[assignment,method-assign]
    measure = Measuring(roster, {}, [])
    first, second = measure(), measure()
    assert first.free == second.free == {}
    assert len(first.remarks) == 1
    assert not second.remarks


# --- the use of a family of processes ----------------------------------------------------------------------------------


def process(proc: Path, pid: int, parent: int, *, ticks: int, reaped: int = 0, pages: int = 10) -> None:
    (proc / str(pid)).mkdir(exist_ok=True)
    words = ["S", str(parent), *["0"] * 9, str(ticks), "0", str(reaped), "0", *["0"] * 6, str(pages), "0"]
    (proc / str(pid) / "stat").write_text(f"{pid} (a ) b) {' '.join(words)}\n")


def test_the_use_of_all_that_descends_is_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([100.0, 102.0, 102.1])
    monkeypatch.setattr("weft.trackers.own.time.monotonic", lambda: next(now))
    monkeypatch.setattr("weft.trackers.own.os.sysconf", {"SC_CLK_TCK": 100, "SC_PAGE_SIZE": 4096}.__getitem__)
    use = OwnUse(str(tmp_path))
    process(tmp_path, 5, 1, ticks=10)
    process(tmp_path, 6, 5, ticks=100)
    process(tmp_path, 7, 6, ticks=0)
    process(tmp_path, 9, 1, ticks=10_000)
    (tmp_path / "8").mkdir()  # it has just ended
    (tmp_path / "meminfo").touch()
    assert use.measure(5) == {"cores": 0, "memory": 3 * 10 * 4096}
    process(tmp_path, 6, 5, ticks=200)
    process(tmp_path, 9, 1, ticks=90_000)
    (tmp_path / "7" / "stat").unlink()
    process(tmp_path, 5, 1, ticks=10, reaped=100)  # what 7 had used
    assert use.measure(5) == {"cores": 1000, "memory": 2 * 10 * 4096}
    assert use.measure(5)["cores"] == 1000  # too soon to say anything new
    assert use.measure(None) == {"cores": 0, "memory": 0}


# --- sampling ----------------------------------------------------------------------------------------------------------


def sampled(measure: Any, rounds: int) -> tuple[list[Event], list[float]]:
    """What is put in so many rounds, and the pauses between them."""
    events: list[Event] = []
    pauses: list[float] = []
    done = threading.Event()

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        if len(events) == rounds:
            done.set()
            return True
        return False

    sampling = Sampling(measure, events.append, pause)
    sampling.start()
    assert done.wait(20)
    sampling.close()
    return events, pauses


def test_the_host_is_measured_every_two_seconds_and_first_after_half_of_one() -> None:
    numbers = iter(range(10))
    events, pauses = sampled(lambda: HeadroomChanged({"cores": next(numbers)}), 3)
    assert [event.free["cores"] for event in events if isinstance(event, HeadroomChanged)] == [1, 2, 3]
    assert pauses == [0.5, 2.0, 2.0, 2.0]


def test_a_host_that_cannot_be_measured_bounds_nothing_and_is_told_of_once() -> None:
    def fail() -> HeadroomChanged:
        raise OSError("no /proc")

    events, _ = sampled(fail, 3)
    assert [event.free for event in events if isinstance(event, HeadroomChanged)] == [{}, {}, {}]
    told = [event.remarks for event in events if isinstance(event, HeadroomChanged)]
    assert "no /proc" in told[0][0]
    assert told[1:] == [(), ()]


def test_a_sampling_that_never_began_can_be_closed() -> None:
    Sampling(lambda: HeadroomChanged({}), lambda event: None).close()


# --- settings ----------------------------------------------------------------------------------------------------------


def test_trackers_are_looked_for_beside_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "weft.toml").write_text('[trackers]\ndisks = "disks.py:Disks"\n[reserve]\nmemory = "2G"\n')
    (tmp_path / "below").mkdir()
    found = read(str(tmp_path / "below"), {"HOME": str(tmp_path / "home")})
    assert found["trackers"] == {"disks": ("disks.py:Disks", str(tmp_path))}
    assert found["reserve"] == {"memory": 2 << 30}


@pytest.mark.parametrize(
    "text", ['trackers = "disks.py:Disks"', "[trackers]\ndisks = 3", '[trackers]\ndisks = "Disks"']
)
def test_what_names_no_class_is_an_error_in_its_place(tmp_path: Path, text: str) -> None:
    (tmp_path / "weft.toml").write_text(text)
    with pytest.raises(PlanError) as caught:
        read(str(tmp_path), {"HOME": str(tmp_path / "home")})
    (problem,) = caught.value.problems()
    assert (problem.code, problem.location) == ("setting.value", "/trackers")
