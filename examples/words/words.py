"""Word statistics of the licences and documentation on this machine: a typed pipeline over a stream of documents."""

from __future__ import annotations

import re
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import weft

LICENCES = "/usr/share/common-licenses"  # of Debian and its kin; elsewhere Python brings its own
NAMES = ("LICENSE*", "LICENCE*", "COPYING*", "README*", "NOTICE*", "AUTHORS*")
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")

registry = weft.Registry()
registry.type("document", lambda it: isinstance(it.get("name"), str) and isinstance(it.get("text"), str), parent="dict")
registry.type("share", lambda it: 0.0 <= it <= 1.0, parent="float")


# The world outside may have changed without a word, so this one always looks; what follows goes by the content of each document.
@registry.task(product=weft.stream_of("document"), cache="never")
def documents(licences: str = LICENCES, libraries: str = "", most: int = 200) -> Iterator[dict[str, str]]:
    """Licence texts, and what comes with Python and its packages (libraries: another folder of packages); no text twice."""
    seen: set[str] = set()
    for path, name in _files(Path(licences), Path(libraries or sysconfig.get_path("purelib"))):
        text = path.read_text(encoding="utf-8", errors="replace")
        if len(seen) < most and text.strip() and text not in seen:
            seen.add(text)
            yield {"name": name, "text": text}


def _files(licences: Path, libraries: Path) -> Iterator[tuple[Path, str]]:
    """Files to read, with what they are called: first those of the licences, then those that are named like one."""
    yield from ((path, path.name) for path in sorted(licences.glob("*")) if path.is_file())
    for folder, depths in ((Path(sysconfig.get_path("stdlib")), ("", "*/")), (libraries, ("*/", "*/licenses/"))):
        found = {path for name in NAMES for depth in depths for path in folder.glob(depth + name) if path.is_file()}
        yield from ((path, path.relative_to(folder).as_posix()) for path in sorted(found))


@registry.task(deps=[weft.each(documents)])
def counted(document: dict[str, str]) -> dict[str, Any]:
    """The words of one document: side by side with the others, cached by its content."""
    words = Counter(word.lower() for word in WORD.findall(document["text"]))
    return {"name": document["name"], "words": dict(sorted(words.items()))}


@registry.task(deps=[documents])
def sizes(documents: Iterator[dict[str, str]]) -> dict[str, Any]:
    """Consumes the stream while it is made: one document in memory at a time."""
    largest, texts, characters = ("", 0), 0, 0
    for document in documents:
        texts += 1
        characters += len(document["text"])
        largest = max(largest, (document["name"], len(document["text"])), key=lambda it: it[1])
    return {"documents": texts, "characters": characters, "largest": largest[0]}


@registry.task(deps=[weft.gather(counted)])
def totals(counts: list[dict[str, Any]], letters: int = 5) -> dict[str, int]:
    """How often each word with at least so many letters occurs in all documents."""
    total: Counter[str] = Counter()
    for one in counts:
        total.update({word: times for word, times in one["words"].items() if len(word) >= letters})
    return dict(sorted(total.items(), key=lambda pair: (-pair[1], pair[0])))


@registry.task(deps=[totals], product="share")
def variety(totals: dict[str, int]) -> float:
    """Different words per word."""
    return len(totals) / max(1, sum(totals.values()))


@registry.task(deps=[sizes, totals, variety])
def report(sizes: dict[str, Any], totals: dict[str, int], variety: float, top: int = 10) -> bytes:
    """The findings in Markdown; bytes, because `weft show --product` writes them as they are."""
    rows = "".join(f"| {word} | {times:,} |\n" for word, times in list(totals.items())[:top])
    text = (
        "# Words of the licences on this machine\n\n"
        f"{sizes['documents']} documents, {sizes['characters']:,} characters; the largest is {sizes['largest']}.\n"
        f"{len(totals):,} different long words, {variety:.1%} of all long words.\n\n"
        f"| word | times |\n|---|---|\n{rows}"
    )
    return text.encode()
