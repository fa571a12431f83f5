"""`python -m storagenode`: one node, with settings from the environment."""

import os
import sys

from storagenode.app import run_node
from storagenode.settings import NodeSettings, SettingsError

if __name__ == "__main__":
    try:
        settings = NodeSettings.from_environment(os.environ)
    except SettingsError as error:
        sys.exit(f"cairn node: {error}")
    run_node(settings)
