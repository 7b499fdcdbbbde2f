"""Entry point of the image: puts this folder on the path of an interpreter started with `-S -I`, which looks nowhere else."""

import sys
from os.path import abspath, dirname

sys.path.insert(0, dirname(abspath(__file__)))

from rollcall_agent.__main__ import main

raise SystemExit(main())
