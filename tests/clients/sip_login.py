"""Asks Xsi as a telephone does, with the credentials that the HTTPie plugin httpie-xsisip makes (BroadWorksSIP).

Usage: sip_login.py URL CA_FILE < USER_ID\\nSIP_USER\\nSIP_PASSWORD\\n
Prints the status of the answer.
"""

import base64
import sys
from types import SimpleNamespace

import httpie_xsisip
import requests

url, ca = sys.argv[1:3]
user, sip_user, password = sys.stdin.read().splitlines()[:3]
# The plugin is of the time when text and bytes were one: its encoder gets text, and is given one that takes it.
httpie_xsisip.base64 = SimpleNamespace(b64encode=lambda text: base64.b64encode(text.encode()).decode())
plugin = httpie_xsisip.XSISIPAuthPlugin()
plugin.raw_auth = f"{user}:{sip_user}:{password}"
print(requests.get(url, auth=plugin.get_auth(), verify=ca, timeout=60).status_code)
