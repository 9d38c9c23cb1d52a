"""Judges recordings: how loud they are, whether they clip, what tone they hold. One task per file, no registry, no document."""

from __future__ import annotations

import array
import csv
import math
import random
import sys
import wave
from pathlib import Path
from typing import Any

import weft

FIELD = "field"
RATE = 8000  # samples per second
FULL = 32767  # the largest sample of 16 bits
TONES = {name: 440.0 * 2 ** (step / 12) for step, name in enumerate("A A# B C C# D D# E F F# G G#".split())}


# It always looks; where it hands on what it handed on before, those who follow go by the recordings themselves.
@weft.task(cache="never")
@weft.time_limit("1min")
@weft.priority(10)
def record(number: int = 12, seed: int = 1) -> str:
    """Stands in for the microphones: tones with noise, some of them too loud or too quiet. Writes what is not there yet."""
    Path(FIELD).mkdir(exist_ok=True)
    for take in range(number):
        path = Path(FIELD, f"take_{take:02}.wav")
        if not path.exists():
            _write(path, _samples(random.Random(f"{seed}/{take}"), list(TONES.values())[take % len(TONES)]))
    return FIELD


@weft.task
@weft.depends_on(record)
@weft.time_limit("2min")
@weft.cores(0.5)
@weft.max_attempts(2)
@weft.for_files_matching(rf"{FIELD}/.+\.wav", as_="path")
def judge(path: str) -> dict[str, Any]:
    """Of one recording: level in decibels below full scale, share of clipped samples, and its tone."""
    samples, rate = _read(path)
    square = sum(sample * sample for sample in samples) / len(samples)
    level = 10 * math.log10(max(square, 1.0) / FULL**2)
    clipped = sum(abs(sample) >= FULL for sample in samples) / len(samples)
    powers = {name: _power(samples, rate, frequency) for name, frequency in TONES.items()}
    return {
        "path": path,
        "level": round(level, 1),
        "clipped": round(clipped, 4),
        "tone": max(powers, key=powers.__getitem__),
    }


@weft.task
@weft.depends_on(weft.gather(judge))
def table(judge: list[dict[str, Any]], to: str = "recordings.csv") -> str:
    """All of them as a table; what is clipped or too quiet says so."""
    with open(to, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "level", "clipped", "tone", "verdict"])
        for each in judge:
            rows.writerow([*(each[key] for key in ("path", "level", "clipped", "tone")), _verdict(each)])
    return to


@weft.task
@weft.depends_on(weft.gather(judge))
def usable(judge: list[dict[str, Any]]) -> list[str]:
    """Those that can be used."""
    return [each["path"] for each in judge if _verdict(each) == "good"]


def _verdict(judged: dict[str, Any]) -> str:
    if judged["clipped"] > 0.001:
        return "clipped"
    return "too quiet" if judged["level"] < -40 else "good"


def _power(samples: array.array[int], rate: int, frequency: float) -> float:
    """Energy at one frequency (Goertzel, 1958)."""
    factor = 2 * math.cos(2 * math.pi * frequency / rate)
    last = before = 0.0
    for sample in samples:
        last, before = sample + factor * last - before, last
    return last * last + before * before - factor * last * before


def _samples(chance: random.Random, frequency: float) -> array.array[int]:
    loudness = chance.choice([0.002, 0.2, 0.3, 0.4, 0.5, 1.6])
    noise = loudness / 10
    wished = (
        FULL * (loudness * math.sin(2 * math.pi * frequency * step / RATE) + chance.gauss(0, noise))
        for step in range(RATE)
    )
    return array.array("h", (max(-FULL, min(FULL, round(value))) for value in wished))


def _write(path: Path, samples: array.array[int]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())


def _read(path: str) -> tuple[array.array[int], int]:
    with wave.open(path, "rb") as file:
        samples = array.array("h", file.readframes(file.getnframes()))
        return samples, file.getframerate()


if __name__ == "__main__":  # `python recordings.py FILE...` judges single files: weft leaves this out
    for name in sys.argv[1:]:
        print(judge(name))
