"""Opens a file of exported keys with a JOSE library that is not ours (jwcrypto), and checks the keys in it.

Usage: read_keys.py FILE < PASSPHRASE\\n
Prints the id and state of each key; the id is the RFC 7638 thumbprint that this library computes.
"""

import base64
import json
import sys

from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key
from jwcrypto import jwa, jwe, jwk


# Its own bound is for tokens, each of which costs so much; a file is read once.
jwa.default_max_pbkdf2_iterations = 1_000_000


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


passphrase = sys.stdin.readline().rstrip("\n")
with open(sys.argv[1], encoding="utf-8") as file:
    document = json.load(file)
box = jwe.JWE(algs=["PBES2-HS512+A256KW", "A256GCM"])
box.deserialize(document["jwe"])
try:
    box.decrypt(jwk.JWK.from_password("another passphrase"))
    sys.exit("another passphrase opens it")
except jwe.InvalidJWEData:
    pass
box = jwe.JWE(algs=["PBES2-HS512+A256KW", "A256GCM"])
box.deserialize(document["jwe"], jwk.JWK.from_password(passphrase))
content = json.loads(box.payload)
assert (content["set_id"], content["created"]) == (document["set_id"], document["created"]), content["set_id"]
for key in content["keys"]:
    public = load_der_public_key(decode(key["spki"]))
    thumbprint = jwk.JWK.from_pyca(public).thumbprint()
    assert thumbprint == key["kid"], key["kid"]
    if key["pkcs8"]:
        private = load_der_private_key(decode(key["pkcs8"]), None)
        assert private.public_key().public_numbers() == public.public_numbers(), key["kid"]
    print(key["kid"], key["state"], flush=True)
