# SPDX-License-Identifier: BSD-3-Clause
"""A deployment of Ray Serve: ``serve run deploy.serve_on_ray:app``, in the root of the repository.

    curl --data-binary @src/bnn/samples/mnist/3.png http://127.0.0.1:8000/

Each replica has one thread of the core; ``num_replicas`` is how many run.
"""

from __future__ import annotations

from typing import Any

from ray import serve


@serve.deployment(num_replicas=1, ray_actor_options={"num_cpus": 1})
class Pictures:
    """Classifies one picture file a request."""

    def __init__(self, model: str = "lfc-w1a1") -> None:
        from bnn.scale import Classify

        self._classify = Classify(model, column="picture")

    async def __call__(self, request: Any) -> dict[str, Any]:
        """Return the class of the picture that is the body of a request."""
        found = self._classify({"picture": [await request.body()]})
        if error := str(found["error"][0]):
            return {"error": error}
        return {
            "class_index": int(found["class_index"][0]),
            "class_name": str(found["class_name"][0]),
            "scores": found["scores"][0].tolist(),
        }


app = Pictures.bind()
