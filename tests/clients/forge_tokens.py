"""Forges long-lived tokens from a real one: prints a JSON object of name and token. None of them may be accepted.

Usage: forge_tokens.py JWKS_FILE < TOKEN
Only the standard library, jwcrypto and cryptography, on which it stands: nothing of ours decides what a forgery is.
"""

import base64
import hashlib
import hmac
import json
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from jwcrypto import jwk


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


token = sys.stdin.read().strip()
head, payload, signature = token.split(".")
header, claims = json.loads(decode(head)), json.loads(decode(payload))
keys = json.load(open(sys.argv[1]))["keys"]
public = jwk.JWK(**next(key for key in keys if key["kid"] == header["kid"]))
own = jwk.JWK.generate(kty="RSA", size=2048)
own_public = json.loads(own.export_public())


def with_header(**changes):
    changed = {name: value for name, value in {**header, **changes}.items() if value is not None}
    return encode(json.dumps(changed).encode())


def with_claims(**changes):
    return encode(json.dumps({**claims, **changes}).encode())


def hs256(secret, first=None):
    signed = f"{first or with_header(alg='HS256')}.{payload}"
    return f"{signed}.{encode(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def rs256(**changes):
    signed = f"{with_header(**changes)}.{payload}"
    made = own.get_op_key("sign").sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{signed}.{encode(made)}"


pem = public.export_to_pem()
body = decode(signature)
forged = {
    "alg none, no signature": f"{with_header(alg='none')}.{payload}.",
    "alg None": f"{with_header(alg='None')}.{payload}.",
    "alg none, old signature": f"{with_header(alg='none')}.{payload}.{signature}",
    "alg none, two parts": f"{with_header(alg='none')}.{payload}",
    "no alg": f"{with_header(alg=None)}.{payload}.{signature}",
    "HS256 with the public key": hs256(pem),
    "HS256 with the public key, stripped": hs256(pem.strip()),
    "HS256 with the modulus": hs256(decode(json.loads(public.export_public())["n"])),
    "HS256 with nothing": hs256(b""),
    "HS256 with the key id": hs256(header["kid"].encode()),
    "RS384 header": f"{with_header(alg='RS384')}.{payload}.{signature}",
    "another key, same kid": rs256(),
    "another key, its own kid": rs256(kid=own.thumbprint()),
    "another key in jwk": rs256(jwk=own_public),
    "another key behind jku": rs256(jku="https://127.0.0.1:1/keys"),
    "another key in x5u": rs256(x5u="https://127.0.0.1:1/cert"),
    "kid of a file": rs256(kid="../../../../dev/null"),
    "kid is a number": rs256(kid=7),
    "no kid": rs256(kid=None),
    "crit": rs256(crit=["exp"]),
    "another user": f"{head}.{with_claims(sub='bo.lindqvist@lab.example')}.{signature}",
    "lives longer": f"{head}.{with_claims(exp=claims['exp'] + 3600)}.{signature}",
    "another header": f"{with_header(extra=1)}.{payload}.{signature}",
    "one bit of the signature": f"{head}.{payload}.{encode(body[:-1] + bytes([body[-1] ^ 1]))}",
    "signature cut": f"{head}.{payload}.{encode(body[:-1])}",
    "signature of nothing": f"{head}.{payload}.{encode(bytes(len(body)))}",
    "no signature": f"{head}.{payload}.",
    "no payload": f"{head}..{signature}",
    "no header": f".{payload}.{signature}",
    "four parts": f"{token}.{signature}",
    "padded": f"{head}=.{payload}.{signature}",
    "another alphabet": token.replace("-", "+").replace("_", "/") + "+/",
    "JSON form": json.dumps({"protected": head, "payload": payload, "signature": signature}).replace(" ", ""),
    "five parts": ".".join([head, "AAAA", "AAAA", "AAAA", "AAAA"]),
    "header is a list": f"{encode(b'[]')}.{payload}.{signature}",
    "header is no JSON": f"{encode(b'{{')}.{payload}.{signature}",
    "header twice": f"{encode(json.dumps(header)[:-1].encode() + b',' + chr(34).encode() + b'alg' + chr(34).encode() + b':' + chr(34).encode() + b'none' + chr(34).encode() + b'}')}.{payload}.{signature}",
    "nested header": f"{encode(b'{' + chr(34).encode() + b'a' + chr(34).encode() + b':' + b'[' * 5000)}.{payload}.{signature}",
    "a letter": "x",
    "dots": "..",
    "long": "x" * 9000,
}
json.dump(forged, sys.stdout)
