"""The backend of `DeviceArray`, by which images hold it."""

from __future__ import annotations

from typing import Any

from spatial_duck.backends import Backend, backend_of, register
from spatial_duck.testing._device import DeviceArray

__all__: list[str] = []


class _Device(Backend):
    """Device arrays as the data of images."""

    name = "device"
    has_operators = True

    def call(self, func: Any, args: Any, kwargs: Any) -> Any:
        return func(*args, **kwargs)

    def compute(self, data: Any, **options: Any) -> Any:
        return data

    def to_numpy(self, data: Any) -> Any:
        return data.get()

    def take(self, data: Any, **options: Any) -> DeviceArray:
        return DeviceArray(backend_of(data).to_numpy(data))

    def device(self, data: Any) -> Any:
        return data.device

    def namespace(self, data: Any) -> Any:
        return data.__array_namespace__()


register(DeviceArray, _Device())
