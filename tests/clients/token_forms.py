"""Gets long-lived tokens in every form and reads them with a JOSE library that is not ours (jwcrypto).

Usage: token_forms.py AUTH_SERVICE_URL CA_FILE ALGORITHM KEY_SIZES < USER_ID\\nPASSWORD\\n
Prints how many tokens were got, decrypted and verified.
"""

import base64
import json
import ssl
import sys
import urllib.request

from jwcrypto import jwe, jwk, jws

url, ca, algorithm, sizes = sys.argv[1:5]
user, password = sys.stdin.read().splitlines()[:2]
context = ssl.create_default_context(cafile=ca)
credentials = base64.b64encode(f"{user}:{password}".encode()).decode()


def encode(data, padded=False):
    text = base64.urlsafe_b64encode(data).decode()
    return text if padded else text.rstrip("=")


def ask(path, method="GET", body=None, accept=None):
    headers = {"Authorization": f"Basic {credentials}"}
    if accept:
        headers["Accept"] = accept
    if body is not None:
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(url + path, data=body, headers=headers, method=method)
    with urllib.request.urlopen(request, context=context, timeout=30) as answer:
        assert answer.headers["Cache-Control"] == "no-store", answer.headers
        return answer.headers["Content-Type"], answer.read()


def check(wrapped, private):
    """Unwraps as the client would, and verifies as anybody could."""
    outer = jwe.JWE(algs=["RSA-OAEP-256", "A256GCM"])
    outer.deserialize(wrapped, private)
    header = json.loads(outer.objects["protected"])
    assert header["cty"] == "JWT" and header["kid"] == private.thumbprint(), header
    token = outer.payload.decode()
    inner = jws.JWS()
    inner.allowed_algs = [algorithm]
    inner.deserialize(token)
    header = json.loads(inner.objects["protected"])
    assert header == {"alg": algorithm, "kid": header["kid"], "typ": "bwllt+jwt"}, header
    inner.verify(keys.get_key(header["kid"]))
    claims = json.loads(inner.payload)
    assert claims["sub"] == user and claims["aud"] == ["broadworks-xsp"], claims
    # What a known client does: the second part, as it is.
    part = token.split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["sub"] == user


got = 0
keys = None
for size in (int(size) for size in sizes.split(",")):
    private = jwk.JWK.generate(kty="RSA", size=size)
    pem = private.export_to_pem()
    der = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    public = private.export_public().encode()
    forms = {
        "DER": encode(der),
        "DER, padded": encode(der, padded=True),
        "PEM": encode(pem),
        "JWK": encode(public),
    }
    for key in forms.values():
        kind, body = ask(f"/token?key={key}")
        assert kind == "application/jose", kind
        keys = keys or jwk.JWKSet.from_json(ask("/keys")[1].decode())
        check(body.decode(), private)
        kind, body = ask("/token", "POST", json.dumps({"key": key}).encode(), "application/json")
        assert kind == "application/json", kind
        body = json.loads(body)
        assert body["token_type"] == "Bearer" and body["user_id"] == user, body
        check(body["token"]["bearer"], private)
        got += 2
print(f"{got} tokens")
