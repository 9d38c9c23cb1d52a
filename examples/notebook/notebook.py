"""A notebook as a script: paste its cells into a Jupyter kernel one by one, or run them all with `python notebook.py`."""

# %% Small steps are lambdas: the name is given, and parameters receive the products of the dependencies. Nothing runs yet.
import asyncio
import time

import weft

registry = weft.Registry("notebook")
registry.task(lambda n=12: list(range(1, n + 1)), name="numbers")
registry.task(lambda number: number * number, name="square", deps=[weft.each("numbers")])
registry.task(lambda squares: sum(squares), name="total", deps=[weft.gather("square")])

# %% Invoke, and run: what is wrong with the values is told by the first of the two, all of it, before anything starts.
run = registry.invoke("total", {"numbers.n": 10}).run(jobs=2, state="notebook.weft")
print("total", run["total"].product)

# %% One number more: ten squares are known, one is computed.
run = registry.invoke("total", {"numbers.n": 11}).run(jobs=2, state="notebook.weft")
print("total", run["total"].product, "squares computed", len(run["square"].attempts))


# %% A generator hands on what it has while it goes on. (Change a cell and run it again: it defines its tasks anew.)
@registry.task
def measured(readings: int = 20):
    for number in range(readings):
        time.sleep(0.01)
        yield number / 10


registry.task(lambda reading: 2 * reading, name="scaled", deps=[weft.each("measured")])
registry.task(lambda measured: max(measured), name="highest", deps=["measured"])
registry.task(lambda parts: round(sum(parts) / len(parts), 3), name="mean", deps=[weft.gather("scaled")])


# %% Watch a run in the background: its events as they come, how far it is at any moment. The loop stays free meanwhile.
async def watch(plan):
    run = plan.start(jobs=4, state="notebook.weft")
    async for event in run.events():
        if event["event"] == "task_ended":
            edges = {f"{edge['from']} > {edge['to']}": edge["items"] for edge in run.snapshot()["edges"]}
            print(event["task"], event["state"], edges)
    print("mean", run["mean"].product, "highest", run["highest"].product)
    again = await plan.arun(jobs=4, state="notebook.weft")
    print("again:", {name: again[name].cause for name in ("measured", "scaled", "highest", "mean")})


# %% In a kernel a loop runs already, and the output appears as it comes (or say `await watch(plan)`); a script starts a loop.
watching = watch(registry.invoke(["mean", "highest"]))
if "get_ipython" in globals():
    watching = asyncio.ensure_future(watching)
else:
    asyncio.run(watching)
