"""A Starlette site whose ETL runs as a task, on any engine: hostler tasks_starlette_app:app --task-workers 2

/start begins one and leads to its page, /jobs/ID, which shows how far it is until there is a result.
"""

import asyncio

from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from starlette.routing import Route

from hostler.tasks import NoSuchTask, current_task, handle, task

PAGE = """<!doctype html>
<title>{status}</title>
<meta http-equiv="refresh" content="1">
<h1>{status}</h1>
<progress value="{progress}"></progress> <p>{text}</p>
"""


@task(retries=3, timeout="10m")
async def etl(rows: int) -> dict[str, int]:
    total = 0
    for row in range(rows):
        # Extract, transform, load.
        await asyncio.sleep(0.01)
        total += row
        current_task().progress((row + 1) / rows, f"row {row + 1} of {rows}")
    return {"rows": rows, "total": total}


async def start(request):
    job = await etl.delay_async(int(request.query_params.get("rows", 100)))
    return RedirectResponse(f"/jobs/{job.id}", 303)


async def show(request):
    try:
        job = handle(request.path_params["id"])
        info = await job.info_async()
    except NoSuchTask:
        return PlainTextResponse("there is no such job", 404)
    if info.status == "succeeded":
        result = await job
        return HTMLResponse(f"<h1>done</h1><p>{result['rows']} rows, total {result['total']}</p>")
    return HTMLResponse(PAGE.format(status=info.status, progress=info.progress or 0, text=info.progress_text))


app = Starlette(routes=[Route("/start", start), Route("/jobs/{id}", show)])
