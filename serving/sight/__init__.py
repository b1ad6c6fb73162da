"""What can be seen of serving from outside: metrics, traces, logs. Nothing that names a customer."""

from serving.sight.answers import BundleSight, unseen
from serving.sight.sight import Health, Sight
from serving.sight.start import open_sight

__all__ = ["BundleSight", "Health", "Sight", "open_sight", "unseen"]
