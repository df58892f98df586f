"""Drives the XSI client `wxcadm`, unmodified, through profile, directory, call control and events of a running lab.

Usage: wxcadm_steps.py DESCRIPTION.json   (the output of `adp lab --describe`)

The client was written against the commercial servers; whatever it stumbles over, other clients would too.
"""

import base64
import json
import os
import queue
import sys
from types import SimpleNamespace

description = json.load(open(sys.argv[1], encoding="utf-8"))
os.environ["REQUESTS_CA_BUNDLE"] = description["ca"]

import wxcadm  # noqa: E402  (the authority must be known before requests is imported)
from wxcadm import xsi as client  # noqa: E402

WAIT_SECONDS = 20


def basic(account):
    pair = f"{account['user_id']}:{account['password']}".encode()
    return {"Authorization": "Basic " + base64.b64encode(pair).decode()}


def endpoints():
    host = description["xsi_events"].split("/")[2]
    return {
        "actions_endpoint": description["xsi_actions"],
        "events_endpoint": description["xsi_events"],
        "events_channel_endpoint": f"https://{host}/com.broadsoft.async/com.broadsoft.xsi-events",
        "xsi_domain": host,
    }


def person_xsi(account):
    org = SimpleNamespace(xsi=endpoints(), api=SimpleNamespace(headers=basic(account)))
    spark = base64.b64encode(f"ciscospark://us/PEOPLE/{account['user_id']}".encode()).decode().rstrip("=")
    return client.XSI(org, SimpleNamespace(email=account["user_id"], id=spark))


def next_event(events, wanted):
    """The next event whose eventData has this type; the names that came before it are given too."""
    seen = []
    while True:
        try:
            event = events.get(timeout=WAIT_SECONDS)["xsi:Event"]
        except queue.Empty:
            raise AssertionError(f"no {wanted} within {WAIT_SECONDS} s; saw {seen}") from None
        name = event["xsi:eventData"]["@xsi1:type"].removeprefix("xsi:")
        seen.append(name)
        if name == wanted:
            return event, seen


alice, bo = description["subscribers"][0], description["subscribers"][1]
admin = next(a for a in description["administrators"] if a["level"].lower().startswith("system"))

# --- profile ---
caller, callee = person_xsi(alice), person_xsi(bo)
profile = caller.profile
assert profile["user_id"] == alice["user_id"], profile
assert profile["extension"] == alice["extension"], profile
assert profile["service_provider"] == alice["enterprise"], profile
assert profile["number"].replace("-", "") == alice["number"], profile
assert "Registrations" in caller.registrations
services = caller.get_services()
assert services["Do Not Disturb"]["DoNotDisturb"]["active"]["$"] == "false", services

# --- directory ---
everybody = caller.directory("Enterprise")
assert len(everybody) == len(description["subscribers"]), len(everybody)
found = caller.directory("Enterprise", last_name=f"*{bo['user_id'].split('@')[0].split('.')[1]}*/i")
assert [entry["userId"]["$"] for entry in found] == [bo["user_id"]], found
assert caller.directory("Group", first_name="Nobody") == []
assert caller.directory("Personal") == []
either = caller.directory("Enterprise", extension=alice["extension"], user_id=bo["user_id"], any_match=True)
assert {entry["userId"]["$"] for entry in either} == {alice["user_id"], bo["user_id"]}, either
both = caller.directory("Enterprise", extension=alice["extension"], user_id=bo["user_id"])
assert both == [], both

# --- events: a channel, an enterprise-wide subscription ---
client.srvlookup.lookup = lambda *_: [SimpleNamespace(host=endpoints()["xsi_domain"])]
events = queue.Queue()
org = SimpleNamespace(
    xsi=endpoints(), _headers=basic(admin), spark_id=f"ciscospark://us/ORGANIZATION/{alice['enterprise']}"
)
channels = client.XSIEvents(org).open_channel(events)
assert channels.active_channels, "the channel did not come up"
subscription = channels.subscribe("Advanced Call")
assert subscription and subscription.id, "the subscription was refused"

# --- a call, seen by both the client and the channel ---
call = caller.new_call()
assert call.originate(bo["extension"]), "the call was refused"
event, _ = next_event(events, "CallReceivedEvent")
assert event["xsi:targetId"] == bo["user_id"], event
assert event["xsi:userId"] == admin["user_id"], event
assert caller.calls and callee.calls
incoming = callee.calls[0]
assert incoming.status["state"] == "Alerting", incoming.status
assert incoming.status["personality"] == "Terminator", incoming.status
incoming.answer()
event, _ = next_event(events, "CallAnsweredEvent")
assert call.status["state"] == "Active", call.status
call.hold()
next_event(events, "CallHeldEvent")
assert call.status["state"] == "Held", call.status
call.resume()
next_event(events, "CallRetrievedEvent")
call.hangup()
next_event(events, "CallReleasedEvent")

# --- leaving ---
assert subscription.delete(), "the subscription could not be deleted"
assert channels.channels[0].delete(), "the channel could not be deleted"
print("wxcadm: profile, directory, services, call control and events passed")
