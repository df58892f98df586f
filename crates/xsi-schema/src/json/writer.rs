//! An [`Element`] to JSON. Everything is text: numbers and booleans are not converted (xsi.md 1.5).

use crate::{AttributeName, Content, Element, Namespace, XSI_NAMESPACE};

impl Element {
    /// The document as JSON, on one line.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(256);
        out.push('{');
        push_string(&mut out, &self.name);
        out.push(':');
        self.write_json(&mut out, self.namespace == Namespace::Xsi);
        out.push('}');
        out
    }

    fn write_json(&self, out: &mut String, namespace: bool) {
        out.push('{');
        let mut first = true;
        if namespace {
            member(out, &mut first, "@xmlns");
            push_string(out, XSI_NAMESPACE);
        }
        for attribute in &self.attributes {
            match &attribute.name {
                AttributeName::Local(name) => {
                    member(out, &mut first, &format!("@{name}"));
                    push_string(out, &attribute.value);
                }
                AttributeName::Nil => {
                    member(out, &mut first, "@xsi1:nil");
                    push_string(out, &attribute.value);
                }
                AttributeName::Type => {
                    member(out, &mut first, "@xsi1:type");
                    push_string(out, &format!("xsi:{}", attribute.value));
                }
            }
        }
        match &self.content {
            Content::Empty => {}
            Content::Text(text) => {
                member(out, &mut first, "$");
                push_string(out, text);
            }
            Content::Children(children) => write_children(out, &mut first, children),
        }
        out.push('}');
    }
}

/// Children in the order in which their names first appear, those of one name together.
fn write_children(out: &mut String, first: &mut bool, children: &[Element]) {
    let mut groups: Vec<(&str, Vec<&Element>)> = Vec::new();
    let mut index = std::collections::HashMap::new();
    for child in children {
        let at = *index.entry(child.name.as_ref()).or_insert_with(|| {
            groups.push((child.name.as_ref(), Vec::new()));
            groups.len() - 1
        });
        if let Some((_, members)) = groups.get_mut(at) {
            members.push(child);
        }
    }
    for (name, members) in groups {
        member(out, first, name);
        if let [only] = members.as_slice() {
            only.write_json(out, false);
            continue;
        }
        for (at, child) in members.iter().enumerate() {
            out.push(if at == 0 { '[' } else { ',' });
            child.write_json(out, false);
        }
        out.push(']');
    }
}

fn member(out: &mut String, first: &mut bool, name: &str) {
    if !std::mem::take(first) {
        out.push(',');
    }
    push_string(out, name);
    out.push(':');
}

/// A JSON string: `"`, `\` and control characters escaped; also what XML does not allow, so that both forms hold the same.
fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if crate::element::is_xml_char(c) => out.push(c),
            _ => {}
        }
    }
    out.push('"');
}
