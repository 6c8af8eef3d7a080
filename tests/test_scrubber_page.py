"""The scrubber as a reader uses it, in a browser: pick, drag, draw, bring an image, by keyboard."""

import base64
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import movable
import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from filtergan.report import scrubber, write_report
from filtergan.runs.directory import RunDirectory
from records import put  # noqa: F401

pytestmark = pytest.mark.browser
Open = Callable[..., Page]
