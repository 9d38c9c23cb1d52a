"""The inspector, the products and the streams of one run over its state folder: of plans whose tasks look, make or hand on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from weft.assemble.products import StoredProducts
from weft.assemble.run_settings import RunSettings
from weft.assemble.streaming import RunStreams
from weft.files.inspector import FileInspector, History
from weft.ports import BegunRow, FileRow, Finished, OpenRun, ResultRow
from weft.runtime.bindings import Binder
from weft.runtime.products import Products
from weft.runtime.recovered import Recovered
from weft.scheduling.events import AttemptAdopted
from weft.scheduling.keys import WHOLE
from weft.spec.plan import Plan


class Inspection:
    """All of one run. folder: of the state. plan_digest: of the plan as the store has it. on_unmet: see `FileInspector`."""

    def __init__(
        self,
        plan: Plan,
        selected: Sequence[int],
        settings: RunSettings,
        folder: str,
        run: str,
        plan_digest: str,
        on_unmet: Callable[[], None] | None = None,
    ):
        with ExitStack() as opened:
            self._files = files = StoredProducts(plan, folder, run, is_durable=settings.durability == "power")
            streaming = RunStreams(plan, selected, folder, run)
            self.streams = streaming.streams
            self.products = streaming.products = Products(plan, files, self.streams)
            opened.callback(self.products.close)
            self.inspector = FileInspector(
                plan,
                folder,
                _history(folder, plan, settings),
                run,
                self.products,
                is_caching=settings.use_cache,
                plan_digest=plan_digest,
                sieve=settings.sieve,
                on_unmet=on_unmet,
            )
            files.inspector = self.inspector
            opened.callback(self.inspector.close)
            for task in _mapped_makers_outside(plan, selected):
                self.products.take_items(task, files.items_of_unselected(task))
            self.bind = Binder(plan, self.products, self.inspector, streaming.feeds).bind
            self._opened = opened.pop_all()

    @property
    def kept(self) -> str:
        """Folder of products."""
        return self._files.products

    @property
    def passing(self) -> str:
        """Folder of products that are kept only while this run needs them."""
        return self._files.room

    def forget_passing(self) -> None:
        """The run is over and will not be taken up again."""
        self._files.forget_passing()

    def restore(self, opened: OpenRun) -> None:
        """Resume: items that were taken and products that were made."""
        for task, items in opened.items.items():
            self.inspector.recover_items(task, [item for item, _, _ in items])
        self.products.restore(opened)
        if self.streams is not None:
            self.streams.restore(opened)
        self.inspector.recover_fingerprints({row.task: row.fingerprint for row in opened.tasks if row.fingerprint})
        self.inspector.recover_begun(_still_due(opened))

    def recover(self, recovered: Recovered) -> None:
        """Resume: when attempts ended of which only now is heard."""
        started = {event.key: event.started for event in recovered.facts if isinstance(event, AttemptAdopted)}

        for report in recovered.reports.reports:
            if isinstance(report, Finished) and report.outcome.ok:
                ended = started.get(report.key, 0.0) + report.outcome.usage.seconds
                self.inspector.ended_earlier(report.key.task, report.key.instance, ended)

    def close(self) -> None:
        """Stop looking, let go of files."""
        self._opened.close()


def planning_inspector(plan: Plan, folder: str | None, settings: RunSettings) -> FileInspector:
    """An inspector that only looks: for `weft plan`. folder: the state folder, None when there is none yet."""
    files = StoredProducts(plan, folder or "", "", is_durable=False)
    history = _history(folder, plan, settings) if folder is not None else History(_no_results, _no_files)
    files.inspector = FileInspector(
        plan, folder, history, "", Products(plan, files) if folder is not None else None, is_caching=settings.use_cache
    )
    return files.inspector


def _mapped_makers_outside(plan: Plan, selected: Sequence[int]) -> list[int]:
    """Mapped tasks that take no part but whose products do."""
    if len(selected) == len(plan.graph):
        return []
    inside = frozenset(selected)
    tasks, index = plan.graph.tasks, plan.graph.index
    bound = [index[edge.name] for task in selected for edge in tasks[task].dependencies if edge.bind is not None]
    makers = [maker for maker in dict.fromkeys(bound) if maker not in inside]
    return [maker for maker in makers if tasks[maker].policy.foreach is not None]


def _still_due(opened: OpenRun) -> list[BegunRow]:
    """What is recorded of beginnings, but for work that was done and is to be done anew; that is over."""
    ok = {(row.task, WHOLE) for row in opened.tasks if row.state == "ok"}
    for task, items in opened.items.items():
        ok.update((task, instance) for instance, (_, state, _) in enumerate(items) if state == "ok")
    return [
        row._replace(is_over=True) if row.ended is not None and (row.task, row.instance) not in ok else row
        for row in opened.begun
    ]


def _history(folder: str, plan: Plan, settings: RunSettings) -> History:
    if not settings.use_cache:
        return History(_no_results, _no_files)
    from weft.store.archive import SqliteArchive

    def results() -> Mapping[tuple[str, str], ResultRow]:
        with SqliteArchive(folder) as archive:
            return archive.results(plan.results_key)

    def files() -> Mapping[str, FileRow]:
        with SqliteArchive(folder) as archive:
            return archive.files()

    def older() -> Mapping[tuple[str, str, str], ResultRow]:
        with SqliteArchive(folder) as archive:
            return archive.every_result(plan.results_key)

    def token() -> str:
        with SqliteArchive(folder) as archive:
            return archive.results_token(plan.results_key)

    return History(results, files, older, token)


def _no_results() -> Mapping[tuple[str, str], ResultRow]:
    return {}


def _no_files() -> Mapping[str, FileRow]:
    return {}
