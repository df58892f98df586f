#!/usr/bin/env bash
# Signs in as a client of the AuthenticationService would, with openssl, curl and a JOSE tool that is not ours (jwcrypto).
#
# Usage: sign_in.sh AUTH_SERVICE_URL CA_FILE USER_ID PASSWORD
#        sign_in.sh AUTH_SERVICE_URL CA_FILE Bearer ACCESS_TOKEN
# Prints the long-lived token. PYTHON names a Python that has jwcrypto (./run-tests installs one below tests/.venv).
set -euo pipefail
url=$1 ca=$2 user=$3 password=$4
python=${PYTHON:-$(dirname "$0")/../.venv/bin/python}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The caller's key pair; the public half travels as base64url of its DER SubjectPublicKeyInfo.
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$work/key.pem" 2>/dev/null ||
  openssl genrsa -out "$work/key.pem" 2048 2>/dev/null
key=$(openssl pkey -in "$work/key.pem" -pubout -outform DER | openssl base64 -A | tr '+/' '-_' | tr -d '=')

# The password goes through a configuration read from standard input, so that no process list shows it.
if [ "$user" = Bearer ]; then
  printf 'header = "Authorization: Bearer %s"\n' "$password"
else
  printf 'user = "%s:%s"\n' "$user" "$password"
fi |
  # 503 means: busy, try again. The first request has a key pair made.
  curl --silent --show-error --fail-with-body --retry 5 --cacert "$ca" --config - --output "$work/token.jwe" "$url/token?key=$key"

# Unwrap: only the holder of the private key can.
"$python" - "$work/key.pem" "$work/token.jwe" <<'PY'
import json, sys
from jwcrypto import jwe, jwk
key = jwk.JWK.from_pem(open(sys.argv[1], "rb").read())
wrapped = jwe.JWE(algs=["RSA-OAEP-256", "A256GCM"])
wrapped.deserialize(open(sys.argv[2]).read().strip(), key)
header = json.loads(wrapped.objects["protected"])
assert header["cty"] == "JWT" and header["kid"] == key.thumbprint(), header
print(wrapped.payload.decode())
PY
