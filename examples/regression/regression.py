"""Ridge regression, its penalty chosen by cross-validation: arrays as products, one task instance for each penalty and fold."""

from __future__ import annotations

from typing import Any

import numpy as np

import weft

registry = weft.Registry()
registry.type("matrix", lambda it: isinstance(it, np.ndarray) and it.ndim == 2 and bool(np.isfinite(it).all()))
registry.type("positive", lambda it: it > 0, parent="float")
registry.type("share", lambda it: 0 < it < 1, parent="float")
registry.type("folds", lambda it: it >= 2, parent="int")

PENALTIES = [0.1, 1.0, 10.0, 100.0, 1000.0]


@registry.task(product="matrix")
def table(rows: int = 2_000, columns: int = 40, noise: float = 4.0, seed: int = 1) -> np.ndarray:
    """Features and, in the last column, the target; a quarter of the features matter."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(rows, columns))
    features[:, 1::2] += (
        0.9 * features[:, : columns // 2 * 2 : 2]
    )  # neighbours that are alike are what a penalty is for
    weights = np.where(np.arange(columns) % 4 == 0, random.normal(size=columns), 0.0)
    return np.column_stack([features, features @ weights + noise * random.normal(size=rows)])


@registry.task(deps=[table], product="matrix", options={"share": weft.Option("share", 0.1)})
def training(table: np.ndarray, share: float) -> np.ndarray:
    """The rows that models may see."""
    return table[: round(len(table) * share)]


@registry.task(deps=[table], product="matrix", options={"share": weft.Option("share", 0.5)})
def testing(table: np.ndarray, share: float) -> np.ndarray:
    """The rows that judge in the end, from the other end of the table."""
    return table[-round(len(table) * share) :]


@registry.task(
    options={"penalties": weft.Option(weft.list_of("positive"), PENALTIES), "folds": weft.Option("folds", 5)}
)
def candidates(penalties: list[float], folds: int) -> list[dict[str, Any]]:
    """What is to be tried: every penalty with every fold left out."""
    return [{"penalty": penalty, "fold": fold, "of": folds} for penalty in penalties for fold in range(folds)]


@registry.task(deps=[weft.each(candidates, as_="candidate"), training])
def validated(candidate: dict[str, Any], training: np.ndarray) -> dict[str, Any]:
    """The error on the fold that the fit has not seen. Counts by what the candidate is, so that a new one costs one fit."""
    is_left_out = np.arange(len(training)) % candidate["of"] == candidate["fold"]
    weights = fit(training[~is_left_out], candidate["penalty"])
    return {"penalty": candidate["penalty"], "error": error_of(weights, training[is_left_out])}


@registry.task(deps=[weft.gather(validated)])
def choice(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """The penalty with the smallest mean error, and all of them."""
    errors: dict[float, list[float]] = {}
    for trial in trials:
        errors.setdefault(trial["penalty"], []).append(trial["error"])
    means = [(float(np.mean(found)), penalty) for penalty, found in errors.items()]
    best, penalty = min(means)
    return {"penalty": penalty, "error": best, "errors": [[penalty, mean] for mean, penalty in means]}


@registry.task(deps=[training, choice])
def model(training: np.ndarray, choice: dict[str, Any]) -> np.ndarray:
    """The weights of all training rows together."""
    return fit(training, choice["penalty"])


@registry.task(deps=[model, choice, training, testing])
def evaluation(
    model: np.ndarray, choice: dict[str, Any], training: np.ndarray, testing: np.ndarray
) -> dict[str, float | int]:
    """What the choice was worth: errors on unseen rows, with it, and with no penalty to speak of."""
    return {
        "penalty": choice["penalty"],
        "rows": len(testing),
        "error": error_of(model, testing),
        "error_without": error_of(fit(training, 1e-9), testing),
    }


def fit(rows: np.ndarray, penalty: float) -> np.ndarray:
    """Weights that minimise the squared error plus penalty times their squared length (Hoerl and Kennard 1970)."""
    features, target = rows[:, :-1], rows[:, -1]
    return np.linalg.solve(features.T @ features + penalty * np.eye(features.shape[1]), features.T @ target)


def error_of(weights: np.ndarray, rows: np.ndarray) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(np.mean((rows[:, :-1] @ weights - rows[:, -1]) ** 2)))
