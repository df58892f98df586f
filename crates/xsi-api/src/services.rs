//! Documents of services, made and read by what is declared of each (xsi.md 3.3).

use crate::convert;
use crate::error::ApiError;
use crate::text::percent_encode;
use openadp_appserver as port;
use openadp_appserver::{
    Member, MemberKind, Part, Patch, Records, Service, Setting, Settings, Uri, UserId, Wish,
};
use openadp_xsi_schema::{Address, Content, Element, Value as _};

/// A service of somebody with all its settings. What has no value is left out.
pub(crate) fn document(user: &UserId, service: &Service) -> Element {
    let spec = service.kind.spec();
    let mut element = Element::new(spec.segment);
    let base = format!("/v2.0/user/{}/services/{}", percent_encode(user.as_str()), spec.segment);
    write(spec.members, &service.settings, &mut element, &base);
    element
}

/// The settings of a service that have a resource of their own.
pub(crate) fn part_document(part: &Part, settings: &Settings) -> Element {
    let mut element = Element::new(part.root);
    write(part.members, settings, &mut element, "");
    element
}

/// One of the records of a service.
pub(crate) fn record_document(records: &'static Records, entry: &Settings) -> Element {
    let mut element = Element::new(records.root);
    let Some(nest) = &records.nest else {
        write(records.members, entry, &mut element, "");
        return element;
    };
    let mut inner = Element::new(nest.name);
    for member in records.members.iter().filter(|member| !nest.hidden.contains(&member.name)) {
        let outside = nest.outside.contains(&member.name);
        let to = if outside { &mut element } else { &mut inner };
        write(std::slice::from_ref(member), entry, to, "");
    }
    element.with(inner)
}

fn write(members: &'static [Member], settings: &Settings, element: &mut Element, base: &str) {
    for member in members {
        match (&member.kind, settings.get(member.name)) {
            (_, Some(Setting::Flag(flag))) => {
                element.push(Element::text(member.name, if *flag { "true" } else { "false" }));
            }
            (_, Some(Setting::Integer(number))) => {
                element.push(Element::text(member.name, number.to_string()));
            }
            (MemberKind::Number, Some(Setting::Text(number))) => {
                element.push(number_element(member.name, number));
            }
            (_, Some(Setting::Text(text))) => element.push(Element::text(member.name, text.clone())),
            (MemberKind::Entries { members, .. }, Some(Setting::Entries(entries))) => {
                for entry in entries {
                    let mut child = Element::new(member.name);
                    write(members, entry, &mut child, base);
                    element.push(child);
                }
            }
            (MemberKind::Group { members }, Some(Setting::Group(group))) => {
                let mut child = Element::new(member.name);
                write(members, group, &mut child, base);
                element.push(child);
            }
            (MemberKind::Items { item, members, .. }, Some(Setting::Entries(entries))) => {
                let mut list = Element::new(member.name);
                for entry in entries {
                    let mut child = Element::new(*item);
                    write(members, entry, &mut child, base);
                    list.push(child);
                }
                element.push(list);
            }
            (MemberKind::Numbers { item, .. }, Some(Setting::Numbers(numbers))) => {
                let mut list = Element::new(member.name);
                for number in numbers {
                    list.push(number_element(item, number));
                }
                element.push(list);
            }
            (MemberKind::Records(records), Some(Setting::Entries(entries))) if records.bare => {
                for entry in entries {
                    element.push(in_short(records, entry, base));
                }
            }
            (MemberKind::Records(records), Some(Setting::Entries(entries))) => {
                let mut list = Element::new(member.name);
                for entry in entries {
                    list.push(in_short(records, entry, base));
                }
                element.push(list);
            }
            (_, Some(Setting::Entries(_) | Setting::Group(_) | Setting::Numbers(_)) | None) => {}
        }
    }
}

fn number_element(name: &'static str, number: &str) -> Element {
    convert::address(&port::Address::of(number)).to_value(name)
}

/// A record as the service's own document shows it, with its URI.
fn in_short(records: &'static Records, entry: &Settings, base: &str) -> Element {
    let mut child = Element::new(records.item);
    let key = entry.text(records.key).unwrap_or_default();
    let uri = |name| Element::text(name, format!("{base}/{}/{}", records.segment, percent_encode(key)));
    if let Uri::First(name) = records.uri {
        child.push(uri(name));
    }
    // In the order of the wire, which is not always the one of the record's own document.
    for name in records.shown {
        if let Some(at) = records.members.iter().position(|member| member.name == *name) {
            write(&records.members[at..=at], entry, &mut child, base);
        }
    }
    if let Uri::Last(name) = records.uri {
        child.push(uri(name));
    }
    child
}

/// What the document of a record asks.
///
/// # Errors
/// Another document, or a value that its member does not allow.
pub(crate) fn record_patch(records: &'static Records, element: &Element) -> Result<Patch, ApiError> {
    let mut patch = patch(records.root, records.members, element)?;
    if let Some(inner) = records.nest.as_ref().and_then(|nest| element.child(nest.name)) {
        patch.extend(read(records.members, inner)?);
    }
    Ok(patch)
}

/// What a document asks of a service. An element that is nil, or empty where that can be told from a value, clears where
/// there is something to clear; unknown elements are ignored, and their order does not count.
///
/// # Errors
/// Another document, or a value that its member does not allow.
pub(crate) fn patch(segment: &str, members: &'static [Member], element: &Element) -> Result<Patch, ApiError> {
    if element.name != segment {
        return Err(ApiError::BadDocument { reason: format!("the document is not a {segment}") });
    }
    read(members, element)
}

fn read(members: &'static [Member], element: &Element) -> Result<Patch, ApiError> {
    let bad = |reason: String| ApiError::BadDocument { reason };
    let mut patch = Patch::new();
    for member in members {
        if let MemberKind::Entries { members, .. } = &member.kind {
            let entries: Vec<&Element> = element.all(member.name).filter(|entry| !entry.is_nil()).collect();
            if !entries.is_empty() {
                let entries = entries.into_iter().map(|entry| read(members, entry));
                patch.push((member, Wish::Entries(entries.collect::<Result<_, _>>()?)));
            }
            continue;
        }
        if let MemberKind::Records(records) = &member.kind
            && records.bare
        {
            let entries = element.all(records.item).map(|entry| read(records.members, entry));
            let entries: Vec<Patch> = entries.collect::<Result<_, _>>()?;
            if !entries.is_empty() {
                patch.push((member, Wish::Entries(entries)));
            }
            continue;
        }
        let Some(child) = element.child(member.name) else { continue };
        if child.is_nil() {
            if member.is_clearable() {
                patch.push((member, Wish::Clear));
            }
            continue;
        }
        if let Some(wish) = composed(member, child)? {
            patch.push((member, wish));
            continue;
        }
        if matches!(child.content, Content::Children(_)) {
            return Err(bad(format!("{} is not a plain value", member.name)));
        }
        let address = Address { uri: child.trimmed_text().to_owned(), country_code: None };
        let text = match member.kind {
            MemberKind::Number => address.without_scheme(),
            _ => child.trimmed_text(),
        };
        patch.push((member, Wish::Set(member.parse(text).map_err(bad)?)));
    }
    Ok(patch)
}

/// What is asked of a member that is no plain value; `None` for one that is.
fn composed(member: &'static Member, child: &Element) -> Result<Option<Wish>, ApiError> {
    let bad = |reason: String| ApiError::BadDocument { reason };
    let bounded = |found: usize, most: usize| {
        if found > most { Err(bad(format!("{} has more than {most}", member.name))) } else { Ok(()) }
    };
    let wish = match &member.kind {
        MemberKind::Group { members } => Wish::Group(read(members, child)?),
        MemberKind::Items { item, most, members } => {
            let mut entries = Vec::new();
            for element in child.all(item) {
                let mut entry = Settings::first(members);
                entry.change(read(members, element)?)?;
                if members.first().is_some_and(|first| entry.get(first.name).is_none()) {
                    return Err(bad(format!("{item} is empty")));
                }
                entries.push(entry);
            }
            bounded(entries.len(), *most)?;
            if entries.is_empty() { Wish::Clear } else { Wish::Set(Setting::Entries(entries)) }
        }
        MemberKind::Numbers { item, most } => {
            let number = |element: &Element| {
                let text = element.trimmed_text().to_owned();
                Address { uri: text, country_code: None }.without_scheme().to_owned()
            };
            let numbers: Vec<String> =
                child.all(item).map(number).filter(|number| !number.is_empty()).collect();
            bounded(numbers.len(), *most)?;
            if numbers.is_empty() { Wish::Clear } else { Wish::Set(Setting::Numbers(numbers)) }
        }
        MemberKind::Records(records) => {
            let entries = child.all(records.item).map(|element| read(records.members, element));
            Wish::Entries(entries.collect::<Result<_, _>>()?)
        }
        MemberKind::Entries { .. }
        | MemberKind::Fixed { .. }
        | MemberKind::Flag { .. }
        | MemberKind::Integer { .. }
        | MemberKind::Number
        | MemberKind::Schedule
        | MemberKind::Text { .. }
        | MemberKind::Word { .. } => return Ok(None),
    };
    Ok(Some(wish))
}

#[cfg(test)]
mod tests {
    use super::*;
    use openadp_appserver::{ACTIVE, FORWARD_TO, PHONE_NUMBER, SPEED_CODE, SPEED_DIAL_8, ServiceKind};
    use openadp_xsi_schema::{ReadLimits, read as parse};

    #[track_caller]
    fn golden(file: &str, service: &Service) {
        let golden = format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"));
        let golden = std::fs::read_to_string(golden).expect("file");
        assert_eq!(
            document(&UserId::new("bo@lab"), service).to_xml(),
            golden.trim_end_matches('\n'),
            "{file}"
        );
    }

    fn ask(kind: ServiceKind, bytes: &[u8]) -> Result<Patch, ApiError> {
        let element = parse(bytes, &ReadLimits::default()).expect("well formed");
        patch(kind.spec().segment, kind.spec().members, &element)
    }

    #[test]
    fn documents_have_their_members_in_order() {
        let dnd = Service::new(ServiceKind::DoNotDisturb).with(ACTIVE, true);
        golden("do-not-disturb.xml", &dnd);
        let always = Service::new(ServiceKind::CallForwardingAlways).with(FORWARD_TO, "+442079460123");
        golden("call-forwarding-always.xml", &always.with(ACTIVE, true));
        golden("call-forwarding-no-answer.xml", &Service::new(ServiceKind::CallForwardingNoAnswer));
        let mut speed = Service::new(ServiceKind::SpeedDial8);
        for code in ["7", "2"] {
            let wishes = [(SPEED_CODE, Some(code)), (PHONE_NUMBER, Some("1012"))];
            let patch = ServiceKind::SpeedDial8.entry_patch(SPEED_DIAL_8, &wishes).expect("good");
            speed.change(patch).expect("good");
        }
        golden("speed-dial-8.xml", &speed);
    }

    #[test]
    fn what_is_read_again_changes_nothing() {
        for kind in ServiceKind::ALL {
            let mut service = Service::new(*kind);
            if kind.spec().members.iter().any(|member| member.name == FORWARD_TO) {
                service = service.with(FORWARD_TO, "1012");
            }
            let before = service.clone();
            service
                .change(
                    ask(*kind, document(&UserId::new("bo@lab"), &service).to_xml().as_bytes())
                        .expect("reads"),
                )
                .expect("good");
            assert_eq!(service, before);
        }
    }

    #[test]
    fn partial_updates_change_what_they_name() {
        let busy = ServiceKind::CallForwardingBusy;
        let cleared: [&[u8]; 6] = [
            br#"<CallForwardingBusy xmlns="http://schema.broadsoft.com/xsi"><forwardToPhoneNumber xmlns:xs="http://www.w3.org/2001/XMLSchema-instance" xs:nil="true"/></CallForwardingBusy>"#,
            br#"<CallForwardingBusy xmlns="http://schema.broadsoft.com/xsi"><forwardToPhoneNumber xsi:nil="true"/></CallForwardingBusy>"#,
            br#"<ns2:CallForwardingBusy xmlns:ns2="http://schema.broadsoft.com/xsi"><ns2:forwardToPhoneNumber foo:nil=' 1 '></ns2:forwardToPhoneNumber></ns2:CallForwardingBusy>"#,
            b"<CallForwardingBusy><forwardToPhoneNumber/></CallForwardingBusy>",
            br#"{"CallForwardingBusy":{"@xmlns":{"$":"http://schema.broadsoft.com/xsi"},"forwardToPhoneNumber":{"@xsi:nil":"true"}}}"#,
            br#"{"CallForwardingBusy":{"forwardToPhoneNumber":null}}"#,
        ];
        for bytes in cleared {
            let mut service = Service::new(busy).with(FORWARD_TO, "1012").with("kept", true);
            service.change(ask(busy, bytes).expect("reads")).expect("good");
            assert_eq!(service, Service::new(busy).with("kept", true), "{}", String::from_utf8_lossy(bytes));
        }
        let bare = b"<CallForwardingBusy><active> True </active><forwardToPhoneNumber>tel:1002</forwardToPhoneNumber><unknown/></CallForwardingBusy>";
        let mut service = Service::new(busy);
        service.change(ask(busy, bare).expect("reads")).expect("good");
        assert_eq!(service.forwards_to(), Some("1002"));
        // What cannot be cleared stays.
        service
            .change(ask(busy, br#"{"CallForwardingBusy":{"active":null}}"#).expect("reads"))
            .expect("good");
        assert!(service.is_active());
        for bad in [
            &b"<CallForwardingBusy><active>maybe</active></CallForwardingBusy>"[..],
            b"<CallForwardingBusy><active><deep/></active></CallForwardingBusy>",
            b"<DoNotDisturb><active>true</active></DoNotDisturb>",
        ] {
            assert!(ask(busy, bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
