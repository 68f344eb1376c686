# SPDX-License-Identifier: BSD-3-Clause
"""The metrics of a server, which Prometheus reads at ``/metrics``."""

from __future__ import annotations

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

#: Upper ends of the latency histogram, in seconds.
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096, 16384, 65536)

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The metrics of one server.

    Only names of served models become labels: clients cannot make new labels.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        labels = ["model", "version"]
        self.requests = Counter(
            "bnn_requests", "Answered requests", ["kind", "code"], registry=self._registry
        )
        self.images = Counter("bnn_images", "Classified images", labels, registry=self._registry)
        self.seconds = Histogram(
            "bnn_infer_seconds",
            "From the arrival of an inference request's headers to its answer",
            labels,
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.batches = Histogram(
            "bnn_batch_images",
            "Images that were computed together",
            labels,
            buckets=_IMAGES,
            registry=self._registry,
        )
        self.in_progress = Gauge(
            "bnn_requests_in_progress", "Requests being read or computed", registry=self._registry
        )
        self.held = Gauge(
            "bnn_request_bytes", "Bytes of requests being read or computed", registry=self._registry
        )
        ProcessCollector(registry=self._registry)
        self._answered: dict[tuple[str, int], Counter] = {}
        self._inferred: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    def answered(self, kind: str, status: int) -> None:
        """Count a request that was answered, by its kind and its HTTP status."""
        found = self._answered.get((kind, status))
        if found is None:
            found = self._answered[kind, status] = self.requests.labels(kind, str(status))
        found.inc()

    def inferred(self, model: str, version: str, images: int, seconds: float) -> None:
        """Count the images of a request, and the seconds from its arrival to its answer."""
        found = self._inferred.get((model, version))
        if found is None:
            labels = (model, version)
            found = self.images.labels(*labels), self.seconds.labels(*labels)
            self._inferred[labels] = found
        found[0].inc(images)
        found[1].observe(seconds)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)
