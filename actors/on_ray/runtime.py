"""The runtime on Ray: every actor is a process, on this machine or on a cluster."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError
from ray.job_config import JobConfig
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.on_ray import guest
from actors.on_ray.address import LOOPBACK, current_cluster, must_answer, stay_on_loopback
from actors.on_ray.nodes import alive, why_not, why_wait
from actors.on_ray.watch import RayWatch
from actors.runtime import ANYWHERE, ActorLost, ActorRef, NodeUnfit, Placement, RuntimeUnavailable
from storage.listers.credentials import Credentials
from storage.runs.log import log_of_actor

_log = logging.getLogger(__name__)

NAMESPACE = "dynamo-consistency"

_NAME_SECONDS = 5
_LOOK_EVERY = 1.0
_KILL_SECONDS = 5.0

# There, nothing of the program need be.
_cloudpickle: Any = ray.cloudpickle
_cloudpickle.register_pickle_by_value(guest)

# Actors wait for the network, not for a processor; a share keeps Ray from counting them as whole ones.
_CPU_SHARE = 0.01


class RayAnswer:
    """The answer of an actor in another process: the one called ``name``, as long as ``watch`` sees its cluster."""

    def __init__(self, name: str, future: Future[Any], watch: RayWatch | None = None) -> None:
        self._name = name
        self._future = future
        self._watch = watch

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the answer; see `actors.runtime.Answer`."""
        give_up = math.inf if timeout is None else time.monotonic() + timeout
        while True:
            try:
                return self._future.result(min(max(give_up - time.monotonic(), 0.0), _LOOK_EVERY))
            except RayTaskError as error:
                unfit = guest.refused(error.cause)
                if unfit:
                    raise NodeUnfit(unfit) from error
                # Ray wraps what the method raised; whoever asked wants the cause itself.
                raise error.cause if isinstance(error.cause, Exception) else error from error
            except RuntimeEnvSetupError as error:
                raise NodeUnfit(f"a node cannot set up what RuntimeEnv says: {_reason(error)}") from error
            except RayError as error:
                raise ActorLost(f"{self._name}: {str(error).splitlines()[0]}") from error
            except FutureTimeout as error:
                if self._watch is not None and self._watch.gone:
                    raise ActorLost(f"{self._name}: {self._watch.gone}") from error
                if time.monotonic() >= give_up:
                    raise TimeoutError(f"{self._name} did not answer in time") from error

    def done(self) -> bool:
        """Whether the answer is there."""
        return self._future.done()

    def on_done(self, call: Callable[[], None]) -> None:
        """Call this once the answer is there."""
        self._future.add_done_callback(lambda _future: call())


class RayRef:
    """A handle on a Ray actor; it pickles within the cluster."""

    def __init__(self, name: str, handle: Any, watch: RayWatch | None = None) -> None:
        self._name = name
        self._handle = handle
        self._watch = watch

    def __reduce__(self) -> tuple[type[RayRef], tuple[str, Any]]:
        return RayRef, (self._name, self._handle)

    @property
    def name(self) -> str:
        """The actor's name in the dashboard."""
        return self._name

    def ask(self, method: str, *arguments: Any) -> RayAnswer:
        """Send a message to the actor."""
        try:
            return RayAnswer(self._name, getattr(self._handle, method).remote(*arguments).future(), self._watch)
        except RayError as error:
            failed: Future[Any] = Future()
            failed.set_exception(error)
            return RayAnswer(self._name, failed)

    def kill(self) -> None:
        """End the actor's process."""
        # Without a head, asking for that hangs; Ray ends the actor with this program.
        if self._watch is None or not self._watch.gone:
            with suppress(FutureTimeout):
                in_thread(lambda: ray.kill(self._handle)).result(_KILL_SECONDS)


class RayRuntime:
    """Runs actors on Ray: on the cluster at ``address``, or on a node of its own that is started here.

    ``address`` is ``HOST:PORT``, ``ray://HOST:PORT``, or ``auto`` for the cluster that ``ray start`` started on this
    machine; None takes that cluster too, and starts a node on loopback when there is none. Every actor is given the
    ``credentials``: its process has the environment of the cluster's, not of this one. With an ``environment``, Ray's
    ``runtime_env`` as JSON, the nodes of a cluster are sent this program, for this run alone. The ``command`` and the
    ``site`` that it is about are the name of this program among the jobs of the dashboard.

    Raises:
        RuntimeUnavailable: from the constructor, when nothing answers at the address.
    """

    name = "ray"

    def __init__(
        self,
        address: str | None = None,
        credentials: Credentials | None = None,
        environment: str | None = None,
        command: str = "",
        site: str = "",
    ) -> None:
        self._credentials = credentials or Credentials()
        self._about = site
        self._program = guest.program_here()
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        options: dict[str, Any] = {
            "namespace": NAMESPACE,
            "log_to_driver": False,
            "logging_level": logging.ERROR,
            "configure_logging": True,
            "job_config": JobConfig(metadata=_metadata(command, site)),
        }
        self._actors: list[RayRef] = []
        self._is_own = False
        self._environment = environment
        try:
            _log_what_ray_would_print()
            context = _interruptible(lambda: self._start(address, options))
        except (RayError, RuntimeError, ValueError, OSError) as error:
            where = f"at {address}" if address else "on this machine"
            raise RuntimeUnavailable(f"no Ray {where}: {_one_line(error)}") from error
        # A client of a cluster has neither head nor raylet, and its own words for the loss of it.
        places = getattr(context, "address_info", {})
        self._watch = RayWatch(places.get("gcs_address") or "", places.get("raylet_socket_name") or "")
        self.address = str(places.get("gcs_address") or address or "")
        url = getattr(context, "dashboard_url", "") or ""
        self.dashboard = f"http://{url}" if url else ""

    def _start(self, address: str | None, options: dict[str, Any]) -> Any:
        if address == "auto":
            address = current_cluster()
            if address is None:
                raise ConnectionError("no cluster runs on this machine; start one with: dynamo-consistency cluster up")
        address = address or current_cluster()
        if address:
            must_answer(address)
            if self._environment is not None:
                options["runtime_env"] = shipping(json.loads(self._environment))
            return ray.init(address=address, **options)
        stay_on_loopback()
        self._is_own = True
        try:
            return ray.init(address="local", include_dashboard=True, dashboard_host=LOOPBACK, **options)
        except Exception as error:
            if type(error) is not Exception:
                raise
            # Ray has no name for a node that does not come up.
            raise ConnectionError(str(error)) from error

    def label(self, about: str) -> None:
        """Say what is done from now on; the logs of actors, which the dashboard shows, say so."""
        self._about = about

    def spawn(self, name: str, actor: type, *arguments: Any) -> ActorRef:
        """Start an actor on the node that this process is on, where its files are."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        return self._spawn(name, actor, arguments, scheduling_strategy=here)

    def spawn_anywhere(self, name: str, actor: type, *arguments: Any, placement: Placement = ANYWHERE) -> ActorRef:
        """Start an actor on whichever node has room; actors are spread over those that the ``placement`` allows."""
        options: dict[str, Any] = {"scheduling_strategy": "SPREAD"}
        if placement.resources:
            options["resources"] = dict(placement.resources)
        if placement.labels:
            options["label_selector"] = dict(placement.labels)
        return self._spawn(name, actor, arguments, **options)

    def why_not(self, placement: Placement) -> str:
        """Say why no node is fit for a placement; see `actors.runtime.Runtime`."""
        return why_not(alive(), placement)

    def why_wait(self, placement: Placement) -> str:
        """Say why no node has room for a placement; see `actors.runtime.Runtime`."""
        nodes = alive()
        return why_not(nodes, placement) or why_wait(nodes, placement)

    def _spawn(self, name: str, actor: type, arguments: tuple[Any, ...], **placement: Any) -> ActorRef:
        visitor = guest.guest_of(actor)
        remote: Any = ray.remote(num_cpus=_CPU_SHARE, max_restarts=0, max_task_retries=0)(visitor)
        placed = remote.options(name=name, **placement)
        # Credentials travel as an argument: the ``runtime_env`` of Ray stands in its logs and on its dashboard.
        first = (partial(log_of_actor, f"{self._about} {name}".strip()), self._credentials.apply)
        sealed = _cloudpickle.dumps((actor, first, arguments))
        give_up = time.monotonic() + _NAME_SECONDS
        while True:
            try:
                handle = self._unless_lost(name, lambda: placed.remote(self._program, sealed))
                break
            except ValueError as error:
                # An actor that was killed keeps its name for a moment.
                if time.monotonic() > give_up:
                    raise RuntimeUnavailable(f"the cluster has an actor {name} already; is another run on?") from error
                time.sleep(0.1)
        reference = RayRef(name, handle, self._watch)
        self._actors.append(reference)
        return reference

    def _unless_lost(self, name: str, start: Callable[[], Any]) -> Any:
        """Start an actor in a thread that can be left behind: without a head, Ray would not come back from it.

        Raises:
            ActorLost: Ray is gone.
        """
        started = in_thread(start)
        while True:
            if self.lost:
                raise ActorLost(f"{name}: {self.lost}")
            with suppress(FutureTimeout):
                started.exception(_LOOK_EVERY)
                return started.result()

    @property
    def lost(self) -> str:
        """What there is to say when Ray's head is gone, or the raylet of this machine."""
        return self._watch.gone

    def shutdown(self) -> None:
        """End the actors that were started here, and the node if it was ours."""
        self._watch.close()
        if self.lost:
            if self._is_own:
                _end_descendants()
            return
        for reference in self._actors:
            with suppress(RayError, ValueError):
                reference.kill()
        self._actors.clear()
        ray.shutdown()


def _metadata(command: str, site: str) -> dict[str, str]:
    """Give what the dashboard shows of a job; ``job_name`` is what it calls the name."""
    shown = {"job_name": f"{command} {site}".strip(), "site": site}
    return {key: value for key, value in shown.items() if value}


def _reason(error: RuntimeEnvSetupError) -> str:
    """Give the line that says why, behind the frames of a traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1]


def shipping(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Add the packages of this program to what Ray is to set up on the nodes."""
    return {**environment, "py_modules": guest.package_directories(), "excludes": ["__pycache__", "*.pyc"]}


def _one_line(error: Exception) -> str:
    """Give the first line of what Ray says, or all when only all of it says which versions do not agree."""
    said = str(error)
    return " ".join(said.split()) if said.startswith("Version mismatch") else said.splitlines()[0]


def _log_what_ray_would_print() -> None:
    """Put into the log what Ray tells every program of its cluster, such as that a node was lost.

    It prints that on stdout, whatever it was told about logs, and there a result may be expected.
    """

    def log(data: dict[str, Any], *_rest: Any, **_options: Any) -> None:
        for line in data["lines"]:
            _log.info("Ray: %s", line)

    module: Any = ray._private.worker
    module.print_to_stdstream = log


def _interruptible(start: Callable[[], Any]) -> Any:
    """Start Ray in a thread of its own, since it hears no signal for seconds at a stretch.

    When the wait for it is interrupted, the processes that it has started by then are ended: they would notice only
    after most of a minute that nobody needs them.
    """
    # Linux ends Ray's processes with the thread that started them, so it stays as long as this process.
    started = in_thread(start, threading.Event().wait)
    try:
        while not started.done():
            with suppress(FutureTimeout):
                started.exception(0.1)
        return started.result()
    except BaseException:
        if not started.done():
            _end_descendants()
        raise


def in_thread(call: Callable[[], Any], and_then: Callable[[], Any] = lambda: None) -> Future[Any]:
    """Call in a thread that nothing waits for in the end; what comes ``and_then`` is behind the result."""
    called: Future[Any] = Future()

    def run() -> None:
        try:
            called.set_result(call())
        except BaseException as error:
            called.set_exception(error)
            return
        and_then()

    threading.Thread(target=run, name="ray-start", daemon=True).start()
    return called


def _end_descendants() -> None:
    """Kill the processes below this one, those above first, so that none is started again."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        # A process may end while it is looked at.
        with suppress(OSError):
            parent = int(status.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(status.parent.name))
    pending = children.get(os.getpid(), [])
    while pending:
        process = pending.pop()
        pending += children.get(process, [])
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
