"""Settings that every test shares: no model hub is ever asked, and shared machines make no test flaky."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
settings.register_profile("offline", deadline=None)
settings.load_profile("offline")
