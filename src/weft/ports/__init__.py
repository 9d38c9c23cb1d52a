"""What weft asks of the world. Each port is small and belongs to the engine, which uses it; adapters fulfil it at the rim."""

from __future__ import annotations

from weft.ports.executors import DryExecutor, Executor, PausingExecutor, StreamExecutor
from weft.ports.observers import (
    Echoing,
    EndedBy,
    Gauge,
    InstanceObserver,
    NoteTally,
    Notifier,
    Observer,
    RunEnding,
    RunOpening,
    StreamGauge,
    Ticker,
)
from weft.ports.orders import SPREAD, Code, Flow, Function, Handed, HandedItem, HandedList, Keeps, Order, Process, Stdin
from weft.ports.records import AttemptRow, BegunRow, FileRow, Held, NewRun, OpenRun, ResultRow, RunRow, TaskRow
from weft.ports.reports import Began, Finished, Remark, Report, Reports, StreamReport, Taken, Yielded
from weft.ports.stores import Archive, Ledger, Store
from weft.ports.world import Clock, Inspector, Installed, Installer, Tracker, Waiter

__all__ = [
    "SPREAD",
    "Archive",
    "AttemptRow",
    "Began",
    "BegunRow",
    "Clock",
    "Code",
    "DryExecutor",
    "Echoing",
    "EndedBy",
    "Executor",
    "FileRow",
    "Finished",
    "Flow",
    "Function",
    "Gauge",
    "Handed",
    "HandedItem",
    "HandedList",
    "Held",
    "Inspector",
    "Installed",
    "Installer",
    "InstanceObserver",
    "Keeps",
    "Ledger",
    "NewRun",
    "NoteTally",
    "Notifier",
    "Observer",
    "OpenRun",
    "Order",
    "PausingExecutor",
    "Process",
    "Remark",
    "Report",
    "Reports",
    "ResultRow",
    "RunEnding",
    "RunOpening",
    "RunRow",
    "Stdin",
    "Store",
    "StreamExecutor",
    "StreamGauge",
    "StreamReport",
    "Taken",
    "TaskRow",
    "Ticker",
    "Tracker",
    "Waiter",
    "Yielded",
]
