"""All tasks of one template in a workflow."""

from __future__ import annotations

from weft.define.arrays import Array as Array
