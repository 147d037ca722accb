"""The generated stubs, under short names. `./generate` writes them."""

import sys
from pathlib import Path

# Generated modules import each other by their bare names.
sys.path.insert(0, str(Path(__file__).parent / "gen"))

import chat_pb2 as pb  # noqa: E402
import chat_pb2_grpc as services  # noqa: E402

__all__ = ["pb", "services"]
