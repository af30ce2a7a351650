"""Write the generated documents anew: `python -m tests.docs`."""

import sys

from tests.docs.generated import GENERATED

for path, document in GENERATED.items():
    path.parent.mkdir(exist_ok=True)
    path.write_text(document())
    sys.stdout.write(f"{path.name}\n")
