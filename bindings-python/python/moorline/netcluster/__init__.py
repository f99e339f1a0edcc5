"""Providers and consumers of network-cluster on asyncio."""

from __future__ import annotations

from .._generated import Compressors, ConsumerOptions, ProviderOptions, ReservedText
from ._role import Outcome
from .connection import Connection
from .consumer import Consumer
from .provider import Provider, Request

__all__ = [
    "Compressors",
    "Connection",
    "Consumer",
    "ConsumerOptions",
    "Outcome",
    "Provider",
    "ProviderOptions",
    "Request",
    "ReservedText",
]
