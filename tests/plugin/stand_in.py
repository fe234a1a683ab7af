"""A stand-in for the engine: real HTTP, real files, no computing.

Started by the plugin as if it were the engine's Python (``-I -X utf8 -m engine.server --state DIR
--for-pid PID``), it serves the routes that the plugin uses. ``$SWATH_STAND_IN`` chooses how it
starts (``crash``, ``mute``, ``locked`` at its first start), the request's model how a job goes
(``slow``, ``broken``).
"""

import itertools
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKEN = "a-token"
PROTOCOL = os.environ.get("SWATH_STAND_IN_PROTOCOL", "1.0")
LEGEND = ((0, "clear", "#9cc99b"), (1, "cloud", "#59d4ec"))
STYLE = """<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology"><pipe>
<rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor=""><colorPalette>
<paletteEntry value="0" label="clear" color="#9cc99b" alpha="255"/>
<paletteEntry value="1" label="cloud" color="#59d4ec" alpha="255"/>
</colorPalette></rasterrenderer></pipe><blendMode>0</blendMode></qgis>"""


class Job:
    """One job and its events."""

    def __init__(self, number, submission):
        self.id = f"job-{number}"
        self.task = submission["task"]
        self.request = submission["request"]
        self.label = submission["label"]
        self.state = "queued"
        self.events = []
        self.artifacts = []
        self.error = None
        self.cancelled = False

    def tell(self, kind, **fields):
        seq = len(self.events) + 1
        event = {"seq": seq, "job_id": self.id, "time": "2026-01-01T00:00:00Z", "kind": kind}
        self.events.append({**event, **fields})

    def run(self):
        self.state = "running"
        self.tell("state", state="running")
        self.tell("message", level="info", text="The numbers are taken as they are.")
        model = Path(self.request.get("run", self.request)["model"]).stem
        for done in range(1, 11 if model != "slow" else 1000):
            if self.cancelled:
                return self.end("cancelled")
            self.tell("progress", stage="segment", done=done, total=10, unit="tiles")
            time.sleep(0.01 if model != "slow" else 0.05)
        if model == "broken":
            error = {"code": "BAND_MISSING", "message": "There is no band nir.", "hint": "Add it."}
            return self.end("failed", error=error)
        self.write()
        return self.end("succeeded")

    def end(self, state, error=None):
        self.state, self.error = state, error
        self.tell("state", state=state, error=error)

    def write(self):
        if self.task == "update":
            self.write_update()
            return
        output = self.request["output"]
        source = self.request["input"]["uris"][0]
        style = write_raster(source, output["raster"])
        self.deliver("raster", output["raster"], style)
        if output["probability"]:
            write_raster(source, output["probability"])
            self.deliver("probability", output["probability"])
        if output["vector"]:
            write_vector(output["raster"], output["vector"])
            self.deliver("vector", output["vector"])
        if output["report"]:
            Path(output["report"]).write_text("<h1>Change</h1>", "utf-8")
            self.deliver("report", output["report"])
        if (self.request["change"] or {}).get("method") == "classes":
            self.write_dates(source, Path(output["raster"]))
        areas = Path(output["raster"]).with_suffix(".csv")
        areas.write_text("class_id,class_name\n0,clear\n", "utf-8")
        self.deliver("areas", str(areas))

    def write_update(self):
        target = self.request["options"]["output"]
        source = self.request["run"]["input"]["uris"][0]
        raster = str(Path(target).with_suffix(".tif"))
        write_raster(source, raster)
        write_vector(raster, target)
        self.deliver("vector", target)
        table = Path(target).with_name(f"{Path(target).stem}_statuses.csv")
        table.write_text("status,old_objects\nkept,3\n", "utf-8")
        self.deliver("statuses", str(table))

    def write_dates(self, source, raster):
        for role in ("from", "to"):
            date = str(raster.with_name(f"{raster.stem}_{role}.tif"))
            self.deliver(role, date, write_raster(source, date))
        for role, end in (("transitions", "csv"), ("matrix", "svg")):
            beside = raster.with_name(f"{raster.stem}_transitions.{end}")
            beside.write_text("", "utf-8")
            self.deliver(role, str(beside))

    def deliver(self, role, uri, style=None):
        artifact = {"role": role, "uri": uri, "media_type": "x/y", "style": style}
        self.artifacts.append(artifact)
        self.tell("artifact", artifact=artifact)

    def plain(self):
        areas = [
            {"class_id": i, "name": n, "color": c, "pixels": 5, "area_m2": 4500.0, "share": 0.5}
            for i, n, c in LEGEND
        ]
        summary = {"model": "clouds-6band-l1c", "device": "cpu", "seconds": 0.1, "pixels": 10}
        return {
            "id": self.id,
            "task": self.task,
            "state": self.state,
            "created": "2026-01-01T00:00:00Z",
            "label": self.label,
            "last_seq": len(self.events),
            "artifacts": self.artifacts,
            "error": self.error,
            "summary": {**summary, "areas": areas} if self.state == "succeeded" else None,
        }


def write_raster(source, target):
    """The left half clear, the right half cloud; the style lies beside it."""
    from osgeo import gdal  # noqa: PLC0415 - only where there is something to write

    read = gdal.Open(source)
    made = gdal.GetDriverByName("GTiff").Create(target, read.RasterXSize, read.RasterYSize, 1)
    made.SetGeoTransform(read.GetGeoTransform())
    made.SetProjection(read.GetProjection())
    width, height = read.RasterXSize, read.RasterYSize
    line = bytes(int(x >= width // 2) for x in range(width))
    made.GetRasterBand(1).WriteRaster(0, 0, width, height, line * height)
    style = Path(target).with_suffix(".qml")
    style.write_text(STYLE, "utf-8")
    return str(style)


def write_vector(raster, target):
    from osgeo import gdal, ogr  # noqa: PLC0415 - the same

    read = gdal.Open(raster)
    Path(target).unlink(missing_ok=True)
    made = ogr.GetDriverByName("GPKG").CreateDataSource(target)
    layer = made.CreateLayer("classes", read.GetSpatialRef(), ogr.wkbPolygon)
    layer.CreateField(ogr.FieldDefn("class_id", ogr.OFTInteger))
    gdal.Polygonize(read.GetRasterBand(1), None, layer, 0, [])


class Engine:
    """What the handler answers from."""

    def __init__(self, state):
        self.state = state
        self.jobs = {}
        self.tenants = []
        self.requests = []


class Handler(BaseHTTPRequestHandler):
    engine: Engine

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.route("GET")

    def do_POST(self):
        self.route("POST")

    def route(self, verb):
        path, _, query = self.path.partition("?")
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        if self.headers.get("X-Swath-Token") != TOKEN:
            return self.send(401, refusal("UNAUTHORIZED", "no token"))
        return self.send(*self.answer(verb, path.split("/")[2:], query, body))

    def answer(self, verb, parts, query, body):
        engine = self.engine
        if parts == ["hello"]:
            return 200, hello(engine.state)
        if parts[0] == "models":
            return install(parts[1], body) if parts[1:] else (200, {"models": []})
        if parts == ["tenants"]:
            engine.tenants.append(body)
            (engine.state / "tenants.json").write_text(json.dumps(engine.tenants))
            return 201, body
        if parts == ["jobs"] and verb == "POST":
            return 201, self.submit(body).plain()
        if parts[0] == "jobs" and parts[1] in engine.jobs:
            return self.about(engine.jobs[parts[1]], parts[2:], query)
        return 404, refusal("NOT_FOUND", f"no {self.path}")

    def submit(self, body):
        job = Job(len(self.engine.jobs) + 1, body)
        self.engine.jobs[job.id] = job
        self.engine.requests.append(body)
        (self.engine.state / "requests.json").write_text(json.dumps(self.engine.requests))
        threading.Thread(target=job.run, daemon=True).start()
        return job

    def about(self, job, action, query):
        if action == ["cancel"]:
            job.cancelled = True
        if action != ["events"]:
            return 200, job.plain()
        values = dict(pair.split("=") for pair in query.split("&"))
        after, deadline = int(values["after"]), time.monotonic() + float(values["wait"])
        while len(job.events) <= after and time.monotonic() < deadline:
            if job.state in ("succeeded", "failed", "cancelled"):
                break
            time.sleep(0.01)
        state = job.state
        return 200, {"events": job.events[after:], "state": state}

    def send(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def hello(state):
    return {
        "protocol": PROTOCOL,
        "version": "0.0.stand-in",
        "pid": os.getpid(),
        "python": "3",
        "state_dir": str(state),
        "tasks": ["segment", "apply", "change"],
    }


def install(model_id, body):
    """As if every model had the Apache licence, and one had to accept it."""
    if body["accepted_licence"] != "Apache-2.0":
        return 400, refusal("LICENCE_NOT_ACCEPTED", f"The model {model_id} has terms.")
    info = {"id": model_id, "title": "A model", "task": "segment", "summary": "", "bands": ["red"]}
    info |= {"gsd": 10.0, "classes": [], "license": "Apache-2.0", "installed": True}
    return 200, {**info, "size": 5_000_000, "source": "file:///x"}


def refusal(code, message):
    return {"error": {"code": code, "message": message, "hint": "Look again."}}


def main():
    arguments = dict(itertools.pairwise(sys.argv))
    state = Path(arguments["--state"])
    (state / "environment.json").write_text(json.dumps(dict(os.environ)))
    (state / "arguments.json").write_text(json.dumps(sys.argv[1:]))
    mode = os.environ.get("SWATH_STAND_IN")
    if mode == "crash":
        sys.exit("error STATE_UNUSABLE: the disk is on fire")
    if mode == "locked" and not (state / "tried").exists():
        (state / "tried").touch()
        sys.exit("error STATE_LOCKED: another engine works here")
    if mode == "mute":
        time.sleep(30)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.engine = Engine(state)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    connection = {"url": url, "token": TOKEN, "pid": os.getpid(), "version": "0.0.stand-in"}
    whole = state / "connection.new"
    whole.write_text(json.dumps({**connection, "protocol": PROTOCOL}))
    whole.replace(state / "connection.json")
    leave_with(int(arguments["--for-pid"]))


def leave_with(pid):
    """No stand-in outlives its test run."""
    while True:
        time.sleep(0.2)
        try:
            os.kill(pid, 0)
        except OSError:
            return


if __name__ == "__main__":
    main()
