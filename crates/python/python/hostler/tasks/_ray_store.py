"""What the keeper of a Ray cluster's tasks must not forget when its process dies: in the key-value store of the cluster's head, as Ray
Serve's controller has it. It lasts as long as the head, or as the Redis that the head is made to use.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

from ray.experimental import internal_kv

NAMESPACE = b"hostler-tasks"


def put(key: str, value: Any) -> None:
    internal_kv._internal_kv_put(key.encode(), pickle.dumps(value, pickle.HIGHEST_PROTOCOL), overwrite=True, namespace=NAMESPACE)


def delete(key: str) -> None:
    internal_kv._internal_kv_del(key.encode(), namespace=NAMESPACE)


def read(prefix: str) -> Iterator[Any]:
    for key in internal_kv._internal_kv_list(prefix.encode(), namespace=NAMESPACE):
        value = internal_kv._internal_kv_get(key, namespace=NAMESPACE)
        if value is not None:
            yield pickle.loads(value)
