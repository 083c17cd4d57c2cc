"""Makes hashes by passlib: each line of stdin is a scheme, its parameters as JSON and a password in
hex, separated by tabs; each line of stdout is a hash."""
import json
import sys
import warnings

warnings.simplefilter("ignore")  # of the modules that passlib itself imports

import argon2  # noqa: E402,F401 - which passlib needs for argon2id
from passlib import hash as schemes  # noqa: E402

for line in sys.stdin:
    scheme, parameters, password = line.rstrip("\n").split("\t")
    made = getattr(schemes, scheme).using(**json.loads(parameters)).hash(bytes.fromhex(password))
    print(made)
