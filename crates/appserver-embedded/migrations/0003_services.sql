-- Settings of a service are the members of its document, by their names there; before, they were the fields of a type of ours.

UPDATE services SET settings = json_object('active', json(iif(json_extract(settings, '$.DoNotDisturb.active'), 'true', 'false')),
    'ringSplash', json(iif(json_extract(settings, '$.DoNotDisturb.ring_splash'), 'true', 'false')))
WHERE kind = 'Do Not Disturb' AND json_extract(settings, '$.DoNotDisturb') IS NOT NULL;

UPDATE services SET settings = json_patch(
    json_object('active', json(iif(json_extract(settings, '$.CallForwardingAlways.active'), 'true', 'false')),
        'ringSplash', json(iif(json_extract(settings, '$.CallForwardingAlways.ring_splash'), 'true', 'false'))),
    json_object('forwardToPhoneNumber', json_extract(settings, '$.CallForwardingAlways.forward_to')))
WHERE kind = 'Call Forwarding Always' AND json_extract(settings, '$.CallForwardingAlways') IS NOT NULL;

UPDATE services SET settings = json_patch(
    json_object('active', json(iif(json_extract(settings, '$.CallForwardingBusy.active'), 'true', 'false'))),
    json_object('forwardToPhoneNumber', json_extract(settings, '$.CallForwardingBusy.forward_to')))
WHERE kind = 'Call Forwarding Busy' AND json_extract(settings, '$.CallForwardingBusy') IS NOT NULL;

UPDATE services SET settings = json_patch(
    json_object('active', json(iif(json_extract(settings, '$.CallForwardingNoAnswer.active'), 'true', 'false')),
        'numberOfRings', json_extract(settings, '$.CallForwardingNoAnswer.number_of_rings')),
    json_object('forwardToPhoneNumber', json_extract(settings, '$.CallForwardingNoAnswer.forward_to')))
WHERE kind = 'Call Forwarding No Answer' AND json_extract(settings, '$.CallForwardingNoAnswer') IS NOT NULL;

-- Events that were not read yet speak of the same.
UPDATE feed SET event = json_object('Service', json_object('kind', 'DoNotDisturb', 'settings', json_object('active', json(iif(json_extract(event, '$.Service.DoNotDisturb.active'), 'true', 'false')),
    'ringSplash', json(iif(json_extract(event, '$.Service.DoNotDisturb.ring_splash'), 'true', 'false')))))
WHERE json_extract(event, '$.Service.DoNotDisturb') IS NOT NULL;
UPDATE feed SET event = json_object('Service', json_object('kind', 'CallForwardingAlways', 'settings', json_patch(
    json_object('active', json(iif(json_extract(event, '$.Service.CallForwardingAlways.active'), 'true', 'false')),
        'ringSplash', json(iif(json_extract(event, '$.Service.CallForwardingAlways.ring_splash'), 'true', 'false'))),
    json_object('forwardToPhoneNumber', json_extract(event, '$.Service.CallForwardingAlways.forward_to')))))
WHERE json_extract(event, '$.Service.CallForwardingAlways') IS NOT NULL;
UPDATE feed SET event = json_object('Service', json_object('kind', 'CallForwardingBusy', 'settings', json_patch(
    json_object('active', json(iif(json_extract(event, '$.Service.CallForwardingBusy.active'), 'true', 'false'))),
    json_object('forwardToPhoneNumber', json_extract(event, '$.Service.CallForwardingBusy.forward_to')))))
WHERE json_extract(event, '$.Service.CallForwardingBusy') IS NOT NULL;
UPDATE feed SET event = json_object('Service', json_object('kind', 'CallForwardingNoAnswer', 'settings', json_patch(
    json_object('active', json(iif(json_extract(event, '$.Service.CallForwardingNoAnswer.active'), 'true', 'false')),
        'numberOfRings', json_extract(event, '$.Service.CallForwardingNoAnswer.number_of_rings')),
    json_object('forwardToPhoneNumber', json_extract(event, '$.Service.CallForwardingNoAnswer.forward_to')))))
WHERE json_extract(event, '$.Service.CallForwardingNoAnswer') IS NOT NULL;

-- Who could take a second call goes on to, and everybody has what came with this release.
INSERT INTO services SELECT user_id, 'Call Waiting', '{"active":true}' FROM users WHERE true ON CONFLICT DO NOTHING;
INSERT INTO services SELECT user_id, kind, '{"active":false}' FROM users,
    (SELECT 'Anonymous Call Rejection' AS kind UNION SELECT 'Calling Line ID Blocking Override'
     UNION SELECT 'Calling Line ID Delivery Blocking') WHERE true ON CONFLICT DO NOTHING;
INSERT INTO services SELECT user_id, kind, '{}' FROM users,
    (SELECT 'Speed Dial 8' AS kind UNION SELECT 'Speed Dial 100') WHERE true ON CONFLICT DO NOTHING;
