//! Alarms as notifications of SNMP version 2c: the message of RFC 1901, the SNMPv2-Trap-PDU of RFC 3416, and the notifications
//! alarmActiveState and alarmClearState of the Alarm MIB (RFC 3877), which have a row of alarmActiveTable in them.
//!
//! Nothing is read from the network here: traps are sent, and not answered.

use crate::settings::{SnmpAgent, TrapDestination};
use openadp_alarms::{Event, Record};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;
use time::{OffsetDateTime, UtcOffset};

/// Version 2c on the wire.
const VERSION: u32 = 1;
/// Tags of what a message is made of (X.690; RFC 3416, 3).
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const TIME_TICKS: u8 = 0x43;
const TRAP: u8 = 0xa7;

/// The two bindings that every trap begins with.
const SYS_UP_TIME: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 3, 0];
const SNMP_TRAP_OID: &[u32] = &[1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0];
/// The name of the host, of MIB-II (RFC 3418).
const SYS_NAME: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 5, 0];
/// Notifications of the Alarm MIB.
const ALARM_ACTIVE_STATE: &[u32] = &[1, 3, 6, 1, 2, 1, 118, 0, 2];
const ALARM_CLEAR_STATE: &[u32] = &[1, 3, 6, 1, 2, 1, 118, 0, 3];
/// A row of its table of active alarms, and columns of it.
const ALARM_ACTIVE_ENTRY: &[u32] = &[1, 3, 6, 1, 2, 1, 118, 1, 2, 2, 1];
const RESOURCE_ID: u32 = 10;
const DESCRIPTION: u32 = 11;
const MODEL_POINTER: u32 = 13;
/// zeroDotZero: there is no table of models, and no object that the alarm is about.
const NOTHING: &[u32] = &[0, 0];

/// A type, the length of what it holds, and that.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    if let Ok(short @ 0..=127) = u8::try_from(content.len()) {
        bytes.push(short);
    } else {
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes();
        let digits: Vec<u8> = length.into_iter().skip_while(|digit| *digit == 0).collect();
        bytes.push(0x80 | u8::try_from(digits.len()).unwrap_or(4));
        bytes.extend(digits);
    }
    bytes.extend(content);
    bytes
}

/// A number that is not negative, in as few bytes as it takes.
fn number(tag: u8, value: u32) -> Vec<u8> {
    let mut digits: Vec<u8> = value.to_be_bytes().into_iter().skip_while(|digit| *digit == 0).collect();
    if digits.first().is_none_or(|first| *first >= 0x80) {
        digits.insert(0, 0);
    }
    tagged(tag, &digits)
}

/// An object identifier: the first two arcs in one, each in groups of seven bits.
fn object_identifier(arcs: &[u32]) -> Vec<u8> {
    let mut content = Vec::new();
    let (first, rest) = match arcs {
        [one, two, rest @ ..] => (one.saturating_mul(40).saturating_add(*two), rest),
        _ => (0, &[][..]),
    };
    for arc in std::iter::once(first).chain(rest.iter().copied()) {
        for shift in [28, 21, 14, 7] {
            if arc >> shift != 0 {
                content.push(0x80 | u8::try_from((arc >> shift) & 0x7f).unwrap_or(0));
            }
        }
        content.push(u8::try_from(arc & 0x7f).unwrap_or(0));
    }
    tagged(OBJECT_IDENTIFIER, &content)
}

/// A name and its value.
fn binding(name: &[u32], value: &[u8]) -> Vec<u8> {
    tagged(SEQUENCE, &[&object_identifier(name), value].concat())
}

/// DateAndTime of RFC 2579, with the offset from UTC.
fn date_and_time(at: OffsetDateTime) -> [u8; 11] {
    let at = at.to_offset(UtcOffset::UTC);
    let [high, low] = u16::try_from(at.year()).unwrap_or(0).to_be_bytes();
    let deciseconds = u8::try_from(at.millisecond() / 100).unwrap_or(0);
    [high, low, u8::from(at.month()), at.day(), at.hour(), at.minute(), at.second(), deciseconds, b'+', 0, 0]
}

/// A text as receivers are set to read it. What ISO 8859-1 cannot hold is a question mark.
fn encoded(text: &str, encoding: &str) -> Vec<u8> {
    if encoding == "UTF-8" {
        return text.as_bytes().to_vec();
    }
    text.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect()
}

/// The trap of what became of an alarm. The row is named by when it was raised and its number in its process, so that the end
/// of an alarm names the same row as its beginning.
fn trap(record: &Record, settings: &SnmpAgent, up: Duration, request: u32) -> Vec<u8> {
    let notification = match record.event {
        Event::Cleared => ALARM_CLEAR_STATE,
        Event::Changed | Event::Raised | Event::Reported => ALARM_ACTIVE_STATE,
    };
    let raised = date_and_time(record.raised);
    // alarmListName is empty; then alarmActiveDateAndTime and alarmActiveIndex.
    let mut row = vec![0, 11];
    row.extend(raised.iter().copied().map(u32::from));
    row.push(u32::try_from(record.number).unwrap_or(u32::MAX));
    let column = |number: u32| [ALARM_ACTIVE_ENTRY, &[number], &row].concat();
    let text = format!("{} {} {}: {}", record.severity, record.name, record.about, record.text);
    let hundredths = u32::try_from(up.as_millis() / 10 % (1 << 32)).unwrap_or(0);
    let mut bindings = vec![
        binding(SYS_UP_TIME, &number(TIME_TICKS, hundredths)),
        binding(SNMP_TRAP_OID, &object_identifier(notification)),
        binding(&column(MODEL_POINTER), &object_identifier(NOTHING)),
        binding(&column(RESOURCE_ID), &object_identifier(NOTHING)),
        binding(&column(DESCRIPTION), &tagged(OCTET_STRING, &encoded(&text, &settings.encoding))),
    ];
    if settings.host_mib_ii {
        // A host that has no name there is not told.
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        bindings.push(binding(SYS_NAME, &tagged(OCTET_STRING, &encoded(name.trim(), &settings.encoding))));
    }
    let pdu = [
        number(INTEGER, request),
        number(INTEGER, 0),
        number(INTEGER, 0),
        tagged(SEQUENCE, &bindings.concat()),
    ];
    let message = [
        number(INTEGER, VERSION),
        tagged(OCTET_STRING, settings.trap_community.expose().as_bytes()),
        tagged(TRAP, &pdu.concat()),
    ];
    tagged(SEQUENCE, &message.concat())
}

/// Sends what became of alarms to all destinations. It never waits: what the network does not take at once is counted.
pub(super) fn send(
    events: &[Record],
    settings: &SnmpAgent,
    destinations: &[TrapDestination],
    up: Duration,
    requests: &mut u32,
) {
    if settings.disable_v2 || destinations.is_empty() {
        return;
    }
    for record in events {
        *requests = requests.wrapping_add(1) & 0x7fff_ffff;
        let message = trap(record, settings, up, *requests);
        for destination in destinations {
            let to = SocketAddr::new(destination.address, destination.port);
            let result = match post(&message, settings.trap_source_address, to) {
                Ok(()) => "sent",
                Err(error) => {
                    tracing::warn!(%to, %error, "a trap could not be sent");
                    "failed"
                }
            };
            metrics::counter!("snmp_traps_total", "result" => result).increment(1);
        }
    }
}

fn post(message: &[u8], from: Option<IpAddr>, to: SocketAddr) -> std::io::Result<()> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // A source of the other kind of address cannot reach it.
    let from = from.filter(|from| from.is_ipv4() == to.is_ipv4()).unwrap_or(any);
    let socket = UdpSocket::bind((from, 0))?;
    socket.set_nonblocking(true)?;
    socket.send_to(message, to).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use openadp_alarms::Severity;
    use openadp_settings::Secret;
    use time::macros::datetime;

    fn settings() -> SnmpAgent {
        SnmpAgent {
            port: 8001,
            encoding: "ISO-8859-1".to_owned(),
            read_community: Secret::new("r"),
            write_community: Secret::new("w"),
            trap_community: Secret::new("public"),
            trap_source_address: None,
            disable_v2: false,
            host_mib_ii: false,
        }
    }
    fn record(event: Event, text: &str) -> Record {
        let at = datetime!(2026-11-21 20:05:09.300 UTC);
        Record {
            at,
            event,
            number: 3,
            process: String::new(),
            name: "noKey".to_owned(),
            severity: Severity::Critical,
            about: String::new(),
            text: text.to_owned(),
            raised: at,
        }
    }

    #[test]
    fn numbers_and_identifiers_are_in_the_basic_encoding() {
        for (value, bytes) in [
            (0, &[2, 1, 0][..]),
            (127, &[2, 1, 127]),
            (128, &[2, 2, 0, 128]),
            (256, &[2, 2, 1, 0]),
            (u32::MAX, &[2, 5, 0, 255, 255, 255, 255]),
        ] {
            assert_eq!(number(INTEGER, value), bytes, "{value}");
        }
        assert_eq!(object_identifier(NOTHING), [6, 1, 0]);
        assert_eq!(object_identifier(SYS_UP_TIME), [6, 8, 0x2b, 6, 1, 2, 1, 1, 3, 0]);
        assert_eq!(object_identifier(&[1, 3, 2021, 128]), [6, 5, 0x2b, 0x8f, 0x65, 0x81, 0]);
        assert_eq!(tagged(4, &[0; 127])[..2], [4, 127]);
        assert_eq!(tagged(4, &[0; 128])[..3], [4, 0x81, 128]);
        assert_eq!(tagged(4, &[0; 300])[..4], [4, 0x82, 1, 44]);
    }

    #[test]
    fn a_trap_is_the_message_that_receivers_know() {
        let message = trap(&record(Event::Raised, "x"), &settings(), Duration::from_millis(12_340), 5);
        // 2026 is 0x07ea: 7 and 234, which takes two bytes in a name.
        let row = [0, 11, 7, 0x81, 0x6a, 11, 21, 20, 5, 9, 3, 43, 0, 0, 3];
        let column = |number: u8| [&[0x2b, 6, 1, 2, 1, 118, 1, 2, 2, 1, number][..], &row[..]].concat();
        let pointer = |number: u8| tagged(SEQUENCE, &[tagged(6, &column(number)), vec![6, 1, 0]].concat());
        let text = tagged(OCTET_STRING, b"Critical noKey : x");
        let bindings = [
            vec![0x30, 14, 6, 8, 0x2b, 6, 1, 2, 1, 1, 3, 0, 0x43, 2, 4, 0xd2],
            [&[0x30, 22, 6, 10, 0x2b, 6, 1, 6, 3, 1, 1, 4, 1, 0][..], &[6, 8, 0x2b, 6, 1, 2, 1, 118, 0, 2]]
                .concat(),
            pointer(13),
            pointer(10),
            tagged(SEQUENCE, &[tagged(6, &column(11)), text].concat()),
        ];
        let bindings = tagged(SEQUENCE, &bindings.concat());
        let pdu = tagged(TRAP, &[&[2, 1, 5, 2, 1, 0, 2, 1, 0][..], &bindings].concat());
        let expected = tagged(SEQUENCE, &[&[2, 1, 1, 4, 6][..], b"public", &pdu].concat());
        assert_eq!(message, expected);
        let cleared = trap(&record(Event::Cleared, "x"), &settings(), Duration::ZERO, 6);
        let clear = object_identifier(ALARM_CLEAR_STATE);
        assert!(cleared.windows(clear.len()).any(|part| part == clear));
    }

    #[test]
    fn texts_are_encoded_as_is_set() {
        assert_eq!(encoded("für €", "ISO-8859-1"), b"f\xfcr ?");
        assert_eq!(encoded("für", "UTF-8"), "für".as_bytes());
    }

    #[test]
    fn nothing_is_sent_where_version_2_is_off_or_nobody_is_told() {
        let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = receiver.local_addr().unwrap().port();
        let to = TrapDestination { address: Ipv4Addr::LOCALHOST.into(), port };
        let (events, mut requests) = ([record(Event::Raised, "x")], 0);
        send(
            &events,
            &SnmpAgent { disable_v2: true, ..settings() },
            std::slice::from_ref(&to),
            Duration::ZERO,
            &mut requests,
        );
        send(&events, &settings(), &[], Duration::ZERO, &mut requests);
        assert_eq!(requests, 0);
        send(&events, &settings(), &[to], Duration::ZERO, &mut requests);
        let mut bytes = [0; 1_500];
        let length = receiver.recv(&mut bytes).unwrap();
        assert_eq!(bytes[..length], trap(&events[0], &settings(), Duration::ZERO, 1));
    }
}
