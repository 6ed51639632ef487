"""The runtime on Ray: every actor is a process, on this machine or on a cluster. Only this module imports Ray."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from actors.runtime import ActorLost, ActorRef, RuntimeUnavailable

NAMESPACE = "dynamo-consistency"

# Actors wait for the network, not for a processor; a share keeps Ray from counting them as whole ones.
_CPU_SHARE = 0.01


class RayAnswer:
    """The answer of an actor in another process."""

    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the answer; see `actors.runtime.Answer`."""
        try:
            return self._future.result(timeout)
        except FutureTimeout as error:
            raise TimeoutError("the actor did not answer in time") from error
        except RayTaskError as error:
            # Ray wraps what the method raised; whoever asked wants the cause itself.
            raise error.cause if isinstance(error.cause, Exception) else error from error
        except RayActorError as error:
            raise ActorLost(str(error).splitlines()[0]) from error
        except RayError as error:
            raise ActorLost(f"Ray: {str(error).splitlines()[0]}") from error

    def done(self) -> bool:
        """Whether the answer is there."""
        return self._future.done()

    def on_done(self, call: Callable[[], None]) -> None:
        """Call this once the answer is there."""
        self._future.add_done_callback(lambda _future: call())


class RayRef:
    """A handle on a Ray actor; it pickles within the cluster."""

    def __init__(self, name: str, handle: Any) -> None:
        self._name = name
        self._handle = handle

    @property
    def name(self) -> str:
        """The actor's name in the dashboard."""
        return self._name

    def ask(self, method: str, *arguments: Any) -> RayAnswer:
        """Send a message to the actor."""
        try:
            return RayAnswer(getattr(self._handle, method).remote(*arguments).future())
        except RayError as error:
            failed: Future[Any] = Future()
            failed.set_exception(ActorLost(str(error)))
            return RayAnswer(failed)

    def kill(self) -> None:
        """End the actor's process."""
        ray.kill(self._handle)


class RayRuntime:
    """Runs actors on Ray: on the cluster at ``address``, or on a node of its own that is started here.

    ``address`` is Ray's (``HOST:PORT``, ``ray://HOST:PORT`` or ``auto``); None takes a cluster that is already running
    on this machine (``RAY_ADDRESS``, or ``ray start``) and starts a node on loopback when there is none.

    Raises:
        RuntimeUnavailable: from the constructor, when nothing answers at the address.
    """

    name = "ray"

    def __init__(self, address: str | None = None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        options: dict[str, Any] = {
            "namespace": NAMESPACE,
            "log_to_driver": False,
            "logging_level": logging.ERROR,
            "configure_logging": True,
        }
        self._actors: list[RayRef] = []
        try:
            context = self._start(address, options)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError, OSError) as error:
            where = f"at {address}" if address else "on this machine"
            raise RuntimeUnavailable(f"no Ray {where}: {str(error).splitlines()[0]}") from error
        url = getattr(context, "dashboard_url", "") or ""
        self.dashboard = f"http://{url}" if url else ""

    @staticmethod
    def _start(address: str | None, options: dict[str, Any]) -> Any:
        if address:
            return ray.init(address=address, **options)
        try:
            return ray.init(address="auto", **options)
        except ConnectionError:
            return ray.init(
                address="local",
                include_dashboard=True,
                dashboard_host="127.0.0.1",
                _node_ip_address="127.0.0.1",
                **options,
            )

    def spawn(self, name: str, actor: type, *arguments: Any) -> ActorRef:
        """Start an actor in a process of its own, under its name in the dashboard."""
        remote: Any = ray.remote(num_cpus=_CPU_SHARE, max_restarts=0, max_task_retries=0)(actor)
        reference = RayRef(name, remote.options(name=name).remote(*arguments))
        self._actors.append(reference)
        return reference

    def shutdown(self) -> None:
        """End the actors that were started here, and the node if it was ours."""
        for reference in self._actors:
            try:
                reference.kill()
            except (RayError, ValueError):
                continue
        self._actors.clear()
        ray.shutdown()
