-- Devices that prove their hardware address are found by it.

CREATE INDEX devices_by_mac ON devices (mac) WHERE mac IS NOT NULL;
