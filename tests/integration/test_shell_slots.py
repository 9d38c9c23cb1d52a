"""Values in shell scripts, read by the real /bin/sh: always data, never code."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from weft.spec.slots import fill_shell

VALUES = [
    "plain",
    "two words",
    "",
    "*",
    "~",
    "-n",
    "it's",
    'say "hi"',
    "$HOME",
    "$(touch PWNED)",
    "`touch PWNED`",
    "'; touch PWNED; '",
    '"; touch PWNED; "',
    ") ; touch PWNED ; (",
    "} ; touch PWNED ; {",
    "# no comment",
    "a\\",
    "\\n",
    "line\ntouch PWNED\nline",
    "{x}",
    "EOF touch PWNED",
    "é ü",
]
SCRIPTS = [
    "printf '%s' {x}",
    "printf '%s' '{x}'",
    'printf "%s" "{x}"',
    "printf '%s' \"$(printf '%s' {x})\"",
    "printf '%s' \"$(printf '%s' \"{x}\")\"",
    "printf '%s' \"$(printf '%s' '{x}')\"",
    "printf '%s' \"${NOT_SET:-$(printf '%s' '')}\"{x}",
    "# a comment with {x}, isn't it\nprintf '%s' {x}",
    "printf '%s' ''{x}''",
    "( printf '%s' '{x}' )",
    "f() {{ printf '%s' \"$1\"; }}; f {x}",
    "y=${NOT_SET:-${ALSO_NOT}}; printf '%s' \"{x}$y\"",
    "y={x}; printf '%s' \"$y\"",
    "case {x} in *) printf '%s' {x} ;; esac",
]


@pytest.mark.parametrize("script", [*SCRIPTS, "cat <<EOF\n{x}\nEOF\n", "cat <<'EOF'\n{x}\nEOF\n"])
def test_the_shell_reads_a_value_as_data_wherever_its_slot_stands(script: str, tmp_path: Path) -> None:
    ending = "\n" if script.startswith("cat") else ""
    for value in VALUES:
        done = subprocess.run(
            ["/bin/sh", "-c", fill_shell(script, {"x": value})],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stdout.decode()) == (0, value + ending), value
        assert not (tmp_path / "PWNED").exists(), value
