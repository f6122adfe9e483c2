"""How many RSA-2048 signatures a second some threads make and nothing else: the most that signed mail can reach."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_SECONDS = 1.5


def main() -> None:
    key = load_pem_private_key(Path(sys.argv[1]).read_bytes(), password=None)
    threads = int(sys.argv[2])
    assert isinstance(key, RSAPrivateKey)
    began, used = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        made = sum(pool.map(_sign, [key] * threads))
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    print(json.dumps({"mails": made, "seconds": seconds, "cpu": cpu}))


def _sign(key: RSAPrivateKey) -> int:
    padding, algorithm = PKCS1v15(), SHA256()
    until, made = time.perf_counter() + _SECONDS, 0
    while time.perf_counter() < until:
        key.sign(b"%d" % made * 40, padding, algorithm)  # about as much as a mail's signed headers
        made += 1
    return made


if __name__ == "__main__":
    main()
