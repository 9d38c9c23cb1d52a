"""Settings: which source wins, what each takes, and how mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.errors import PlanError
from weft.settings import KEYS, SettingError, Settings, project_file, read, resources, shown, user_file


def read_here(folder: Path, environ: dict[str, str] | None = None, **flags: str) -> Settings:
    """Settings in `folder`, with its `home` as the user's."""
    environ = {"HOME": str(folder / "home"), **(environ or {})}
    return read(str(folder), environ, {name: (value, f"--{name}") for name, value in flags.items()})


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_without_any_source_everything_is_default(tmp_path: Path) -> None:
    settings = read_here(tmp_path)
    assert set(settings) == set(KEYS)
    assert {settings.origin(name) for name in settings} == {"default"}
    assert settings["executor"] == "local" and settings["cache"] is True and settings["jobs"] is None


def test_a_flag_wins_over_a_variable_over_the_project_over_the_user(tmp_path: Path) -> None:
    user = write(
        tmp_path / "home/.config/weft/config.toml", "jobs = 1\ntimeout = '1m'\ncolor = 'never'\noutput = 'quiet'\n"
    )
    project = write(tmp_path / "weft.toml", "jobs = 2\ntimeout = '2m'\ncolor = 'always'\n")
    settings = read_here(tmp_path, {"WEFT_JOBS": "3", "WEFT_TIMEOUT": "3m"}, jobs="4")
    assert (settings["jobs"], settings.origin("jobs")) == (4, "--jobs")
    assert (settings["timeout"], settings.origin("timeout")) == (180, "WEFT_TIMEOUT")
    assert (settings["color"], settings.origin("color")) == ("always", f"{project}: color")
    assert (settings["output"], settings.origin("output")) == ("quiet", f"{user}: output")


def test_the_project_is_searched_upwards_and_the_nearest_wins(tmp_path: Path) -> None:
    write(tmp_path / "weft.toml", "jobs = 1\n")
    write(tmp_path / "a/pyproject.toml", "[tool.weft]\njobs = 2\n")
    write(tmp_path / "a/b/pyproject.toml", "[tool.other]\nweft = 1\n")
    deep = tmp_path / "a/b/c"
    deep.mkdir()
    found = project_file(str(deep))
    assert found is not None
    assert found[0] == str(tmp_path / "a/pyproject.toml") and found[1] == {"jobs": 2}


def test_weft_toml_comes_before_pyproject_in_one_folder(tmp_path: Path) -> None:
    write(tmp_path / "pyproject.toml", "[tool.weft]\njobs = 2\n")
    write(tmp_path / "weft.toml", "jobs = 1\n")
    assert read_here(tmp_path)["jobs"] == 1


def test_a_broken_pyproject_that_does_not_name_weft_is_ignored(tmp_path: Path) -> None:
    write(tmp_path / "pyproject.toml", "[tool\n")
    assert read_here(tmp_path)["jobs"] is None


def test_a_broken_settings_file_names_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "weft.toml", "jobs = \n")
    with pytest.raises(PlanError) as caught:
        read_here(tmp_path)
    (problem,) = caught.value.problems()
    assert problem.code == "setting.file" and problem.file == str(path)


def test_bad_values_are_told_together_with_file_and_key(tmp_path: Path) -> None:
    path = write(tmp_path / "weft.toml", "jobs = 0\noutput = 'xml'\nfail-fast = 3\n")
    with pytest.raises(PlanError) as caught:
        read_here(tmp_path, {"WEFT_TIMEOUT": "soon"})
    found = [(problem.file, problem.location) for problem in caught.value.problems()]
    assert found == [(str(path), "/jobs"), (str(path), "/output"), (str(path), "/fail-fast"), (None, None)]
    assert "WEFT_TIMEOUT is 'soon'" in caught.value.problems()[3].message
    assert caught.value.exit_code == 2


def test_an_unknown_key_is_a_warning_with_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path / "weft.toml", "job = 3\n")
    settings = read_here(tmp_path)
    (warning,) = settings.warnings
    assert warning.hint == "did you mean 'jobs'?" and warning.location == "/job"
    assert settings["jobs"] is None


@pytest.mark.parametrize(
    ("variable", "told"), [("WEFT_JOBBS", 1), ("WEFT_TASK", 0), ("WEFT_QQQQQQ_ZZZ", 0), ("WEFT_DEBUG", 0)]
)
def test_only_variables_that_look_like_a_slip_are_told(tmp_path: Path, variable: str, told: int) -> None:
    assert len(read_here(tmp_path, {variable: "1"}).warnings) == told


def test_an_empty_variable_counts_as_not_given(tmp_path: Path) -> None:
    assert read_here(tmp_path, {"WEFT_JOBS": ""})["jobs"] is None


def test_a_relative_state_folder_of_a_file_lies_beside_that_file(tmp_path: Path) -> None:
    write(tmp_path / "weft.toml", "state = 'runs'\n")
    below = tmp_path / "below"
    below.mkdir()
    assert read(str(below), {"HOME": str(tmp_path)})["state"] == str(tmp_path / "runs")


def test_resources_are_integer_units() -> None:
    assert dict(resources("cores=1.5, memory=2G,license=3")) == {"cores": 1500, "memory": 2 << 30, "license": 3_000_000}
    assert dict(resources({"gpu": 1, "disk": "1K"})) == {"gpu": 1_000_000, "disk": 1024}


@pytest.mark.parametrize(
    "text", ["cores", "=2", "cores=", "cores=two", "cores=-1", "cores=nan", "a=1,a=2", "memory=2X", ""]
)
def test_bad_resources_are_refused(text: str) -> None:
    with pytest.raises(SettingError):
        resources(text)


@pytest.mark.parametrize("value", [True, "0", "-1", "1.5", "", 2.0, "²"])
def test_jobs_is_a_whole_number_of_at_least_one(value: object) -> None:
    with pytest.raises(SettingError):
        KEYS["jobs"].read(value)


def test_queues_hold_limits_in_integer_units(tmp_path: Path) -> None:
    write(tmp_path / "weft.toml", "[queues.short]\ntimeout = '10min'\nmemory = '1G'\ncores = 2\n")
    queues = read_here(tmp_path)["queues"]
    assert {name: dict(limits) for name, limits in queues.items()} == {
        "short": {"timeout": 600, "memory": 1 << 30, "cores": 2000}
    }


def test_the_user_file_follows_xdg(tmp_path: Path) -> None:
    assert user_file({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}) == "/x/weft/config.toml"
    assert user_file({"HOME": "/h"}) == "/h/.config/weft/config.toml"


def test_doctor_never_shows_a_password_of_a_store(tmp_path: Path) -> None:
    settings = read_here(tmp_path, {"WEFT_STORE": "postgresql://me:secret@host/db"})
    values = {name: value for name, value, _ in shown(settings)}
    assert values["store"] == "postgresql://…@host/db"


def test_doctor_shows_amounts_as_people_write_them_and_json_has_them_bare(tmp_path: Path) -> None:
    write(
        tmp_path / "weft.toml",
        'timeout = "90min"\n[reserve]\nmemory = "1.5G"\n[queues.short]\nexecutor = "local"\ncores = 0.5\nruntime = "2h"\n',
    )
    settings = read_here(tmp_path)
    people = {name: value for name, value, _ in shown(settings)}
    assert (people["timeout"], people["reserve"]) == ("1h 30m", "memory=1.5G")
    assert people["queues"] == "short: executor=local cores=0.5 timeout=2h"
    exact = {name: value for name, value, _ in shown(settings, exact=True)}
    assert (exact["timeout"], exact["reserve"]) == ("5400.0", "memory=1610612736")
    assert exact["queues"] == "short: executor=local cores=0.5 timeout=7200.0"
