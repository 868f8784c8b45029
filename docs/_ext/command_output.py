"""A directive that shows what a command of the package prints, so that the page cannot fall behind the code.

::

    ```{command-output} xnn.cli.train --help
    ```
"""

import os
import subprocess
import sys

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx


class CommandOutput(Directive):
    """Runs ``python -m MODULE ARGUMENTS`` while the page is built."""

    required_arguments = 1
    optional_arguments = 100

    def run(self) -> list[nodes.Node]:
        """Return a block with the output; a command that fails ends the build."""
        environment = os.environ | {"COLUMNS": "88", "NO_COLOR": "1"}
        command = [sys.executable, "-m", *self.arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        block = nodes.literal_block(done.stdout, done.stdout)
        block["language"] = "none"
        return [block]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("command-output", CommandOutput)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
